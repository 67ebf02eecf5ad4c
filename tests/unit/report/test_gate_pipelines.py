"""The shipped pipelines: sound for the system each is for, as far as that can be told without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from gate_verdicts import verdicts
from pipeline_steps import ARGO, FOLDER, GITHUB, GITLAB, JENKINS, containers, documents, steps, text

from harness.cli.gate_command import COMMANDS
from harness.gate import verdict_json
from harness.report.gate.serve import reduced

GATES = verdicts()
NO_NETWORK = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}
EVERYDAY, PROMOTION = "harness gate run", "harness gate pair"


@pytest.mark.parametrize(("system", "schema"), [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")])
def test_github_and_gitlab_obey_the_schemas_that_check_jsonschema_carries(system: str, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(FOLDER / system)]
    result = subprocess.run(command, env=os.environ | NO_NETWORK, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_system_has_the_everyday_gate_or_the_promotion_gate_and_no_unknown_command() -> None:
    for system in (GITHUB, GITLAB, JENKINS):
        scripts = "\n".join(step.script for step in steps() if step.system == system)
        assert EVERYDAY in scripts
        assert PROMOTION in scripts
    for step in steps():
        assert set(re.findall(r"harness gate (\S+)", step.script)) <= set(COMMANDS)


def test_a_promotion_asks_for_the_same_in_every_system() -> None:
    lines = {
        re.sub(r"--output \S+", "--output X", line.strip().removesuffix(" # "))
        for step in steps()
        for line in step.script.splitlines()
        if line.strip().startswith(PROMOTION)
    }
    assert lines == {'harness gate pair "$SCENARIO" --baseline "$BASELINE" --candidate "$CANDIDATE" --output X'}


@pytest.mark.parametrize("system", [GITHUB, GITLAB, JENKINS])
def test_what_is_collected_is_what_is_written(system: str) -> None:
    assert "gate/junit.xml" in text(system) or system == GITHUB
    written = set(re.findall(r"--output ([\w/-]+)", text(system)))
    assert written == {"gate"}


def test_gitlab_takes_inconclusive_for_a_warning_and_nothing_else() -> None:
    (config,) = documents(GITLAB)
    shared = config[".performance-gate"]
    assert shared["allow_failure"] == {"exit_codes": [4]}
    assert shared["artifacts"]["when"] == "always"
    assert shared["artifacts"]["reports"] == {"junit": "gate/junit.xml", "metrics": "gate/metrics.txt"}
    assert all(job["extends"] == ".performance-gate" for name, job in config.items() if "script" in job)


# Jenkins

SECTIONS = {
    "pipeline": {"agent", "options", "parameters", "environment", "stages", "post"},
    "stages": {"stage"},
    "stage": {"when", "steps"},
    "steps": {"sh", "script"},
    "post": {"always"},
    "always": {"junit", "archiveArtifacts"},
}


def blocks(source: str) -> list[tuple[list[str], str]]:
    """(names of the blocks around it, statement) of every statement; braces must match."""
    plain = re.sub(r"//[^\n]*|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "", source)
    around: list[str] = []
    found = []
    for piece in re.split(r"([{}\n])", plain):
        if piece == "}":
            around.pop()
        elif piece == "{":
            around.append(found[-1][1].split("(")[0].split()[0])
        elif piece.strip():
            found.append((list(around), piece.strip()))
    assert around == []
    return found


def test_the_jenkinsfile_is_a_declarative_pipeline_by_structure() -> None:
    found = blocks(text(JENKINS))
    names = [(around, re.split(r"[\s(=]", statement)[0]) for around, statement in found]
    assert names[0] == ([], "pipeline")
    for around, name in names:
        if around and around[-1] in SECTIONS:
            assert name in SECTIONS[around[-1]], (around, name)
    stages = [around for around, name in names if name == "stage"]
    assert stages == [["pipeline", "stages"]] * 2
    assert [name for around, name in names if around == ["pipeline"]] == [
        "agent", "options", "parameters", "environment", "stages", "post",
    ]  # fmt: skip
    assert {"judged"} <= {name for around, name in names if around[-1:] == ["script"]}


def test_the_jenkinsfile_turns_yellow_for_4_and_red_for_every_other_code() -> None:
    assert re.search(r"if \(code == 4\) \{\s*unstable ", text(JENKINS))
    assert re.search(r"else if \(code != 0\) \{\s*error ", text(JENKINS))


# Argo Rollouts: the fields of its documentation (docs/analysis/job.md, web.md, features/analysis.md)

METRIC = {"name", "count", "interval", "initialDelay", "successCondition", "failureCondition", "failureLimit"} | {
    "inconclusiveLimit", "consecutiveErrorLimit", "provider",
}  # fmt: skip
WEB = {"url", "method", "headers", "body", "timeoutSeconds", "jsonPath"}


def templates() -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in documents(ARGO) if d["kind"] == "AnalysisTemplate"}


def test_argo_templates_use_known_fields_and_only_arguments_that_they_declare() -> None:
    assert set(templates()) == {"harness-gate", "harness-gate-measure", "harness-gate-verdict"}
    for template in templates().values():
        assert template["apiVersion"] == "argoproj.io/v1alpha1"
        assert set(template["spec"]) == {"args", "metrics"}
        used = set(re.findall(r"\{\{\s*args\.([\w-]+)\s*\}\}", str(template["spec"]["metrics"])))
        assert used == {argument["name"] for argument in template["spec"]["args"]}
        for metric in template["spec"]["metrics"]:
            assert set(metric) <= METRIC
            (provider,) = metric["provider"]
            assert provider in ("job", "web")
            assert set(metric["provider"].get("web", {})) <= WEB
            assert set(metric["provider"].get("job", {})) <= {"metadata", "spec"}


def test_argo_jobs_run_once_and_have_every_variable_and_volume_they_use() -> None:
    for template in documents(ARGO):
        for metric in template["spec"].get("metrics", []):
            if "job" in metric["provider"]:
                spec = metric["provider"]["job"]["spec"]
                assert spec["backoffLimit"] == 0
                assert spec["template"]["spec"]["restartPolicy"] == "Never"
        for container in containers(template):
            given = {variable["name"] for variable in container["env"]}
            assert set(re.findall(r"\$\{?([A-Z_]+)", " ".join(container["args"]))) <= given


def phase(metric: dict[str, Any], answer: dict[str, Any]) -> str:
    """What Argo makes of an answer: jsonPath picks `result`, then the two conditions."""
    assert metric["provider"]["web"]["jsonPath"] == "{$.result}"
    result = answer["result"]

    def holds(condition: str) -> bool:
        match = re.fullmatch(r'result\.(\w+) == "(\w+)"', condition)
        assert match is not None
        return bool(result[match[1]] == match[2])

    if holds(metric["failureCondition"]):
        return "Failed"
    return "Successful" if holds(metric["successCondition"]) else "Inconclusive"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pass", "Successful"),
        ("fail", "Failed"),
        ("inconclusive", "Inconclusive"),
        ("invalid", "Inconclusive"),
        ("not-comparable", "Inconclusive"),
    ],
)
def test_argo_promotes_aborts_or_pauses_by_what_is_served(tmp_path: Any, name: str, expected: str) -> None:
    (metric,) = templates()["harness-gate-verdict"]["spec"]["metrics"]
    file = tmp_path / "verdict.json"
    file.write_text(verdict_json.gate_json(GATES[name]), encoding="utf-8")
    assert phase(metric, {"result": reduced(file)}) == expected


def test_argo_asks_at_the_address_that_the_service_offers() -> None:
    kinds = {document["kind"]: document for document in documents(ARGO)}
    (metric,) = templates()["harness-gate-verdict"]["spec"]["metrics"]
    port = kinds["Service"]["spec"]["ports"][0]["port"]
    assert metric["provider"]["web"]["url"].startswith(
        f"http://{kinds['Service']['metadata']['name']}:{port}/verdicts/"
    )
    (container,) = containers(kinds["Deployment"])
    assert {"name": "PORT", "value": str(port)} in container["env"]
    assert kinds["Service"]["spec"]["selector"] == kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
