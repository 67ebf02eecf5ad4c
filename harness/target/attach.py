"""A server that runs already: from the scenario's words to an endpoint. Nothing is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError
from harness.scenario.target import Attach
from harness.target.endpoint import Endpoint

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def endpoint_of(attach: Attach, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint, with secrets filled in from `environment`. Raises UsageError on a missing variable or tokenizer."""
    return Endpoint(
        name=attach.slug,
        url=attach.url,
        protocol=attach.protocol,
        model=attach.model,
        headers={name.lower(): _filled(name, value, environment) for name, value in attach.headers.items()},
        tls=attach.tls,
        metrics_url=attach.metrics_url,
        tokenizer=None if attach.tokenizer is None else tokenizer_file(attach.tokenizer),
        gpus=attach.gpus,
    )


def tokenizer_file(path: Path) -> Path:
    """The tokenizer.json at this path, or in this folder. Raises UsageError when there is none."""
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{file}: no such tokenizer", hint="attach.tokenizer is a tokenizer.json or a folder with one")
    return file


def _filled(header: str, value: str, environment: Mapping[str, str]) -> str:
    absent = [name for name in _VARIABLE.findall(value) if name not in environment]
    if absent:
        raise UsageError(
            f"the header {header!r} needs the environment variable {absent[0]}, which is not set",
            hint=f"export {absent[0]}=…",
        )
    return _VARIABLE.sub(lambda match: environment[match[1]], value)
