"""The shell steps of the shipped pipelines, as each system would hand them to a shell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[3] / "reports" / "pipelines"
GITHUB, GITLAB, JENKINS, ARGO = "github-actions.yml", "gitlab-ci.yml", "Jenkinsfile", "argo-rollouts.yaml"
_SH = re.compile(r"\bsh\s*\(?(?:returnStatus: true, script: )?'((?:[^'\\]|\\.)*)'")


@dataclass(frozen=True)
class Step:
    """One step: whose it is, what it is part of, the text for the shell."""

    system: str
    job: str
    script: str


def text(system: str) -> str:
    """The file of a system."""
    return (FOLDER / system).read_text(encoding="utf-8")


def documents(system: str) -> list[dict[str, Any]]:
    """The YAML documents of a system's file."""
    return list(yaml.safe_load_all(text(system)))


def steps() -> list[Step]:
    """Every shell step of every system."""
    return [*_github(), *_gitlab(), *_jenkins(), *_argo()]


def _github() -> list[Step]:
    (workflow,) = documents(GITHUB)
    return [
        Step(GITHUB, name, step["run"])
        for name, job in workflow["jobs"].items()
        for step in job["steps"]
        if "run" in step
    ]


def _gitlab() -> list[Step]:
    """A job's lines run one after the other in one shell."""
    (config,) = documents(GITLAB)
    return [Step(GITLAB, name, "\n".join(job["script"])) for name, job in config.items() if "script" in job]


def _jenkins() -> list[Step]:
    stages = re.split(r"stage\('([^']+)'\)", text(JENKINS))
    return [
        Step(JENKINS, name, script)
        for name, body in zip(stages[1::2], stages[2::2], strict=True)
        for script in _SH.findall(body)
    ]


def _argo() -> list[Step]:
    return [
        Step(ARGO, document["metadata"]["name"], " ".join(container["args"]))
        for document in documents(ARGO)
        for container in containers(document)
    ]


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers that a document of Argo's file starts."""
    specs = [metric["provider"].get("job", {}).get("spec") for metric in document["spec"].get("metrics", [])]
    specs.append(document["spec"] if document["kind"] == "Deployment" else None)
    return [container for spec in specs if spec is not None for container in spec["template"]["spec"]["containers"]]
