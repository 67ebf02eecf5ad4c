"""A server that runs already: from the scenario's words to an endpoint. Nothing is started."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.scenario.target import Attach
from harness.target.endpoint import Endpoint


def endpoint_of(attach: Attach) -> Endpoint:
    """The endpoint; the loader has filled in its secrets. Raises UsageError on a missing tokenizer."""
    return Endpoint(
        name=attach.slug,
        url=attach.url.partition("/")[0],
        base_path=attach.base_path,
        protocol=attach.protocol,
        model=attach.model,
        headers={name.lower(): value for name, value in attach.headers.items()},
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
