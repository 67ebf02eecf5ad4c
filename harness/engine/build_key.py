"""The key under which a built engine is cached: what it was made from, and for what. Pure but for `checkpoint_hash`.

Weights count by their content, not by their name or date: the build cache of TensorRT-LLM hashes none, and gives the
old engine for new weights in the same folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from harness.engine.classic import ClassicEngine
from harness.errors import UsageError

READ_BYTES = 1 << 22
NOT_WEIGHTS = (".lock", ".metadata", ".md", ".gitattributes")
Progress = Callable[[str], None]
Remembered = dict[str, str]  # "name size mtime" → hash of the content


def build_key(spec: ClassicEngine, checkpoint: str, gpu: str) -> str:
    """`<name>-<16 hex digits>`: changes with the weights, all that the steps are told, the version and the GPU."""
    identity = {
        "checkpoint": checkpoint,
        "made": spec.checkpoint.model_dump(mode="json"),
        "parallelism": spec.parallelism.model_dump(mode="json"),
        "build": spec.build.model_dump(mode="json", exclude={"workers"}),
        "version": spec.tensorrt_llm_version,
        "gpu": gpu,
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{spec.name}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


def hub_identity(spec: ClassicEngine) -> str:
    """What stands for weights that are fetched: a name and a revision. Raises UsageError without a revision."""
    if spec.model.revision is None:
        raise UsageError(
            f"engine {spec.name}: model.source is a name on Hugging Face without a revision, so what is built today "
            "could not be told from what is built tomorrow",
            hint="write `revision:` (a commit) under `model`, or give a local folder as source",
        )
    return f"hub:{spec.model.source}@{spec.model.revision}"


def checkpoint_hash(folder: Path, remembered: Remembered, progress: Progress) -> str:
    """A hash over names and contents of a local checkpoint's files. Raises UsageError when there is none.

    `remembered` saves reading a file again whose size and date are the same; new entries are added to it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such checkpoint folder", hint="model.source of the engine spec")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and _counts(file.relative_to(folder))]
    if not files:
        raise UsageError(f"{folder}: the checkpoint folder is empty")
    whole = hashlib.sha256()
    for number, file in enumerate(files, start=1):
        facts = file.stat()
        known = f"{file} {facts.st_size} {facts.st_mtime_ns}"
        if known not in remembered:
            progress(f"reading weights, file {number} of {len(files)}: {file.name}")
            remembered[known] = _content_hash(file)
        whole.update(f"{file.relative_to(folder).as_posix()}\0{remembered[known]}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _counts(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts) and path.suffix not in NOT_WEIGHTS


def _content_hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
