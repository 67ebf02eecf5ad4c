"""Built models, cached by what they are made of: the shape and the builder's own source."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

from harness.engine.shape import ModelShape
from harness.errors import UsageError
from harness.resources import shipped
from harness.target.file_lock import exclusive
from harness.target.places import cache_folder
from harness.target.server_environment import OPENVINO, TORCH, Progress, ServerEnvironment, child_variables
from harness.units import show_duration

BUILD_LIMIT_S = 600.0
TOKENIZER = "tokenizer.json"
BUILDERS = {OPENVINO: "build_model.py", TORCH: "build_torch_model.py"}


def model_key(shape: ModelShape, builder: bytes) -> str:
    """The folder name of a model of this shape made by this builder."""
    canonical = json.dumps(shape.model_dump(), sort_keys=True).encode()
    digest = hashlib.sha256(canonical + b"\0" + builder).hexdigest()[:12]
    return f"llama-v{shape.vocabulary_size}-h{shape.hidden_size}-l{shape.layers}-{digest}"


def prepare_model(
    shape: ModelShape, environment: ServerEnvironment, progress: Progress, library: str = OPENVINO
) -> Path:
    """The folder of the built model, made when it is not there yet. Raises UsageError when the builder fails.

    The environment must be that of the library.
    """
    folder = cache_folder() / "models" / model_key(shape, library.encode() + b"\0" + _builder_source())
    if not (folder / TOKENIZER).is_file():
        with exclusive(folder.with_name(f"{folder.name}.lock"), limit_s=BUILD_LIMIT_S, waiting=progress):
            if not (folder / TOKENIZER).is_file():
                _build(shape, environment, folder, progress, BUILDERS[library])
    return folder


def _builder_source() -> bytes:
    """Every Python file beside the builder: it may import any of them."""
    files = sorted(shipped("engines", "server").glob("*.py"))
    return b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)


def _build(shape: ModelShape, environment: ServerEnvironment, folder: Path, progress: Progress, program: str) -> None:
    """Run the builder, which makes the folder in one step. The caller holds the lock."""
    progress("building the model")
    began = time.monotonic()
    builder = shipped("engines", "server", program)
    command = [str(environment.python), str(builder), "--shape", shape.model_dump_json(), "--out", str(folder)]
    variables = {**child_variables(os.environ), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, errors="replace", timeout=BUILD_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"the model was not built within {show_duration(BUILD_LIMIT_S)}") from error
    if done.returncode != 0 or not (folder / TOKENIZER).is_file():
        said = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise UsageError(f"the model cannot be built (exit code {done.returncode}):\n  {said}")
    progress(f"model built in {show_duration(time.monotonic() - began)}")
