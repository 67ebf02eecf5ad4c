"""Templates of TensorRT-LLM's Triton repositories: NVIDIA's own where they are at hand, else ours. Reads files only.

NVIDIA's follow `fill_template.py`: `${name}` anywhere in a config.pbtxt. A name that nothing fills is an error here,
not text that reaches Triton, where TensorRT-LLM would fall back to a default with a line in its log. Comments are no
part of it: they may name variables of other versions, or hold parameters that are switched off.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.resources import shipped

IN_CONTAINER = Path("/app/all_models")  # of NVIDIA's Triton containers with TensorRT-LLM
UPSTREAM = {"classic": "inflight_batcher_llm", "llmapi": "llmapi"}  # kind → folder below all_models
CLASSIC_MODELS = ("ensemble", "postprocessing", "preprocessing", "tensorrt_llm", "tensorrt_llm_bls")
MODELS = {"classic": CLASSIC_MODELS, "llmapi": ("tensorrt_llm",)}
_BLANK = r"(?:\s|#[^\n]*\n)*"  # between the words of protobuf's text format
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"


@dataclass(frozen=True)
class Templates:
    """The files of a repository before they are filled, by path inside it."""

    files: Mapping[str, bytes]
    origin: str  # for people
    are_ours: bool


def find_templates(kind: str, folder: Path | None) -> Templates:
    """The templates for a kind: from `folder` if given, else of the container we are in, else ours.

    `folder` is NVIDIA's all_models, or the folder of the kind in it. Raises UsageError when models are missing there.
    """
    if folder is None and not (IN_CONTAINER / UPSTREAM[kind]).is_dir():
        return Templates(
            _read(shipped("engines", "repositories", kind), MODELS[kind]),
            "our own templates (NVIDIA's: --templates DIR)",
            True,
        )
    given = folder or IN_CONTAINER
    root = given / UPSTREAM[kind] if (given / UPSTREAM[kind]).is_dir() else given
    missing = [model for model in MODELS[kind] if not (root / model / "config.pbtxt").is_file()]
    if missing:
        raise UsageError(
            f"{root} has no template for {', '.join(missing)}",
            hint="give the folder all_models of TensorRT-LLM's triton_backend, or of NVIDIA's container",
        )
    return Templates(_read(root, MODELS[kind]), str(root), False)


def fill(path: str, template: bytes, values: Mapping[str, str | None]) -> tuple[bytes, set[str]]:
    """The filled template, and the names it used. A parameter whose value is None is taken out of `tensorrt_llm`.

    Elsewhere None is an empty text, which NVIDIA's Python models read as "not given". Raises UsageError on a name that
    `values` does not have.
    """
    text = template.decode()
    names = variables(text)
    unknown = sorted(names - set(values))
    if unknown:
        raise UsageError(
            f"{path}: nothing fills {', '.join(f'${{{name}}}' for name in unknown)}",
            hint="the template is of a TensorRT-LLM that this program does not know: use its version's own, or ours",
        )
    if path.startswith("tensorrt_llm/"):
        text = _without_parameters(path, text, sorted(name for name in names if values[name] is None))
    filled = string.Template(text).safe_substitute({name: _quoted(values[name] or "") for name in names})
    return filled.encode(), names


def variables(text: str) -> set[str]:
    """The variables of a template, but for those that stand in comments alone."""
    return set(string.Template(outside_comments(r"(?!)", "", text, keep_comments=False)).get_identifiers())


def outside_comments(pattern: str, new: str, text: str, *, keep_comments: bool = True) -> str:
    """`re.sub` that neither looks into comments nor takes a `#` in a string for one."""

    def replaced(found: re.Match[str]) -> str:
        if found["comment"] is not None:
            return found["comment"] if keep_comments else ""
        return found["string"] if found["string"] is not None else found.expand(new)

    return re.sub(rf"(?P<comment>#[^\n]*)|(?:{pattern})|(?P<string>{_STRING})", replaced, text)


def check(path: str, text: bytes) -> None:
    """Parse with Triton's own protobuf. Raises UsageError with its words."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        text_format.Parse(text.decode(), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise UsageError(f"{path}: Triton could not read the rendered configuration: {error}") from error


def _without_parameters(path: str, text: str, names: Sequence[str]) -> str:
    """Without the parameters that are one of these variables and nothing else. Raises UsageError if one is left."""
    if not names:
        return text
    words = ["parameters", ":?", r"\{", "key", ":", r"\"[^\"\n]+\"", "[,;]?", "value", ":?", r"\{", "string_value", ":"]
    words += [rf"\"\$\{{(?:{'|'.join(map(re.escape, names))})\}}\"", r"\}", r"\}"]
    shorter = outside_comments(r"\b" + _BLANK.join(words) + r"\n?", "", text)
    left = sorted(variables(shorter) & set(names))
    if left:
        raise UsageError(f"{path}: ${{{left[0]}}} has no value, and stands where it cannot be left out")
    return shorter


def _quoted(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)


def _read(root: Path, models: Iterable[str]) -> dict[str, bytes]:
    """Every file below the models' folders; a version folder without any gets one, so that it exists."""
    found: dict[str, bytes] = {}
    for model in models:
        for file in sorted((root / model).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                found[file.relative_to(root).as_posix()] = file.read_bytes()
        if not any(path.startswith(f"{model}/1/") for path in found):
            found[f"{model}/1/.keep"] = b""
    return found
