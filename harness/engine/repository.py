"""The Triton model repository of an engine: templates in, files out. Pure but for `read_templates`.

A template is `engines/repositories/<kind>[-<contract>]/<model>/config.pbtxt` with `${name}` placeholders; every other
file of the folder is copied as it is. A placeholder that nothing fills and a variable that no template uses are both
errors: the first would reach Triton as text, the second would be a setting accepted and ignored.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engine.cpu import CpuEngine
from harness.engine.spec import EmbeddedSpec
from harness.errors import UsageError
from harness.resources import shipped

CONFIG = "config.pbtxt"


@dataclass(frozen=True)
class RepositoryPaths:
    """Where the parts lie that the models of a repository need at run time. All absolute."""

    server_dir: Path  # engines/server: the engine process and what the models import
    model_dir: Path  # the built model, with tokenizer.json
    socket_path: Path  # the Unix socket of the engine process


def read_templates(spec: EmbeddedSpec) -> dict[str, bytes]:
    """The template files for an engine's kind and contract, by path inside the repository."""
    folder = (
        "cpu" if spec.contract == "classic" else f"cpu-{spec.contract}"
    )  # the torch engine is behind the same models
    root = shipped("engines", "repositories", folder)
    files = (file for file in sorted(root.rglob("*")) if file.is_file())
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files if _belongs(file)}


def render(spec: EmbeddedSpec, paths: RepositoryPaths, templates: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of the model repository, by path inside it. Raises UsageError when templates and variables disagree."""
    variables = variables_by_model(spec, paths)
    models = {path.partition("/")[0] for path in templates if path.endswith(f"/{CONFIG}")}
    if models != set(variables):
        raise UsageError(f"the {spec.kind} repository has models {sorted(models)}, expected {sorted(variables)}")
    return {
        path: fill(path, content, variables[path.partition("/")[0]]) if path.endswith(f"/{CONFIG}") else content
        for path, content in templates.items()
    }


def variables_by_model(spec: EmbeddedSpec, paths: RepositoryPaths) -> dict[str, dict[str, str]]:
    """The variables of each model's `config.pbtxt`, as text."""
    settings = spec.settings
    common = {
        "server_dir": paths.server_dir,
        "socket_path": paths.socket_path,
        "cancellation_check_period_ms": settings.cancellation_check_period_ms,
    }
    engine = {
        "engine_dir": paths.model_dir,
        "threads": spec.threads,
        **_library(spec),
        "max_batch_size": settings.max_batch_size,
        "max_num_tokens": settings.max_num_tokens,
        "max_seq_len": settings.max_seq_len,
        "max_tokens_in_paged_kv_cache": settings.max_tokens_in_paged_kv_cache,
        "batch_scheduler_policy": settings.batch_scheduler_policy,
        "enable_kv_cache_reuse": settings.enable_kv_cache_reuse,
        "enable_chunked_context": settings.enable_chunked_context,
        "max_queue_size": settings.max_queue_size,
        "injected_slowdown_ratio": settings.injected_slowdown_ratio,
    }
    if spec.contract == "llmapi":
        return {"tensorrt_llm": _as_text({**common, **engine})}
    common["triton_max_batch_size"] = settings.max_batch_size
    text = {**common, "tokenizer_dir": paths.model_dir}
    return {
        "ensemble": _as_text(text),
        "tensorrt_llm": _as_text({**common, **engine}),
        "tensorrt_llm_bls": _as_text({**text, "accumulate_tokens": settings.accumulate_tokens}),
    }


def _library(spec: EmbeddedSpec) -> dict[str, object]:
    """What computes, where and in which type."""
    if isinstance(spec, CpuEngine):
        return {"library": "openvino", "device": "cpu", "dtype": "float16", "tokens_per_block": 32}
    per_block = spec.settings.tokens_per_block
    return {"library": "torch", "device": spec.device, "dtype": spec.dtype, "tokens_per_block": per_block}


def fill(path: str, template: bytes, variables: Mapping[str, str]) -> bytes:
    """The template with each `${name}` replaced. Raises UsageError on a name without value, or a value without use."""
    text = string.Template(template.decode())
    names = set(text.get_identifiers()) if text.is_valid() else _malformed(path)
    unfilled, unused = sorted(names - set(variables)), sorted(set(variables) - names)
    if unfilled:
        raise UsageError(f"{path}: nothing fills {', '.join(f'${{{name}}}' for name in unfilled)}")
    if unused:
        raise UsageError(f"{path}: the template does not use {', '.join(unused)}")
    return text.substitute(variables).encode()


def _as_text(variables: Mapping[str, object]) -> dict[str, str]:
    return {name: _quoted(_show(value)) for name, value in variables.items()}


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    """Escaped for a string of protobuf's text format: a path may hold a quote or a backslash."""
    return re.sub(r'(["\\])', r"\\\1", text)


def _malformed(path: str) -> set[str]:
    raise UsageError(f"{path}: a lone $ that is no ${{name}}; write $$ for a dollar sign")


def _belongs(file: Path) -> bool:
    return "__pycache__" not in file.parts and file.suffix != ".md"
