"""The commands of a build, and its cache key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.engine.build_commands import Places, Recipe, recipe_of, steps
from harness.engine.build_key import build_key, checkpoint_hash, hub_identity
from harness.engine.load import load_engine
from harness.errors import UsageError

PLACES = Places("/trt", "/weights", "/checkpoint", "/engine")
RECIPE = Recipe(
    name="llama-8b",
    version="1.2.1",
    source="/models/llama",
    revision=None,
    checkpoint={
        "made_by": "convert",
        "script": "examples/models/core/llama/convert_checkpoint.py",
        "dtype": "bfloat16",
    },
    parallelism={"tp_size": 2, "pp_size": 1, "moe_tp_size": None},
    build={"max_batch_size": 256, "max_num_tokens": 8192, "weight_streaming": False, "context_fmha": "enable"},
    gpu="NVIDIA H100 80GB HBM3",
)
QUANTIZE = {
    "made_by": "quantize",
    "script": "examples/quantization/quantize.py",
    "dtype": "bfloat16",
    "qformat": "fp8",
    "kv_cache_dtype": "fp8",
    "calib_dataset": "cnn_dailymail",
    "calib_size": 512,
    "awq_block_size": 128,
    "seed": 1234,
}


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def test_a_local_checkpoint_is_converted_and_built() -> None:
    convert, build = steps(RECIPE, PLACES)
    assert " ".join(convert.command) == (
        "python3 /trt/examples/models/core/llama/convert_checkpoint.py --model_dir /weights --output_dir /checkpoint "
        "--dtype bfloat16 --tp_size 2 --pp_size 1"
    )
    assert " ".join(build.command) == (
        "trtllm-build --checkpoint_dir /checkpoint --output_dir /engine --max_batch_size 256 --max_num_tokens 8192 "
        "--context_fmha enable"
    )
    assert [convert.makes, build.makes] == ["/checkpoint", "/engine"]


def test_a_name_on_hugging_face_is_fetched_first_at_its_revision() -> None:
    fetch = steps(dataclasses.replace(RECIPE, source="meta-llama/X", revision="abc"), PLACES)[0]
    assert " ".join(fetch.command) == "huggingface-cli download meta-llama/X --local-dir /weights --revision abc"


def test_quantize_gets_what_its_format_uses_and_nothing_it_would_ignore() -> None:
    command = steps(dataclasses.replace(RECIPE, checkpoint=QUANTIZE), PLACES)[0].command
    assert command[command.index("--qformat") + 1] == "fp8"
    assert "--calib_size" in command
    assert "--awq_block_size" not in command
    blocks = steps(dataclasses.replace(RECIPE, checkpoint={**QUANTIZE, "qformat": "int4_awq"}), PLACES)[0].command
    assert "--awq_block_size" in blocks
    weights_only = {**QUANTIZE, "qformat": "int8_wo", "kv_cache_dtype": None}
    assert "--calib_size" not in steps(dataclasses.replace(RECIPE, checkpoint=weights_only), PLACES)[0].command


def test_a_switch_that_is_on_stands_alone() -> None:
    command = steps(dataclasses.replace(RECIPE, build={"weight_streaming": True}), PLACES)[1].command
    assert command[-1] == "--weight_streaming"


def test_an_engine_that_needs_no_build_says_why() -> None:
    with pytest.raises(UsageError, match="needs no build: the first start makes its model"):
        recipe_of(load_engine("cpu-tiny").spec)


def test_the_key_changes_with_everything_that_changes_the_engine() -> None:
    key = build_key(RECIPE, "sha256:1", "H100")
    others = [
        build_key(RECIPE, "sha256:2", "H100"),
        build_key(RECIPE, "sha256:1", "H200"),
        build_key(dataclasses.replace(RECIPE, version="1.1.0"), "sha256:1", "H100"),
        build_key(dataclasses.replace(RECIPE, build={**RECIPE.build, "max_batch_size": 128}), "sha256:1", "H100"),
        build_key(dataclasses.replace(RECIPE, checkpoint=QUANTIZE), "sha256:1", "H100"),
        build_key(dataclasses.replace(RECIPE, parallelism={"tp_size": 4}), "sha256:1", "H100"),
    ]
    assert len({key, *others}) == 7
    assert key == build_key(dataclasses.replace(RECIPE, build={**RECIPE.build, "workers": 8}), "sha256:1", "H100")


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("about")
    remembered: dict[str, str] = {}
    first = checkpoint_hash(tmp_path, remembered, silent)
    (tmp_path / "README.md").write_text("other words")
    assert checkpoint_hash(tmp_path, remembered, silent) == first, "a README is no weight"
    said: list[str] = []
    checkpoint_hash(tmp_path, remembered, said.append)
    assert said == [], "a file that has not changed is not read again"
    (tmp_path / "model.safetensors").write_bytes(b"weighty")
    assert checkpoint_hash(tmp_path, {}, silent) != first
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert len({first, checkpoint_hash(tmp_path, {}, silent)}) == 2


def test_weights_that_are_not_pinned_are_refused() -> None:
    with pytest.raises(UsageError, match="without a revision"):
        hub_identity(dataclasses.replace(RECIPE, source="meta-llama/X"))
    assert hub_identity(dataclasses.replace(RECIPE, source="m/X", revision="abc")) == "hub:m/X@abc"


def test_a_missing_or_empty_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such checkpoint folder"):
        checkpoint_hash(tmp_path / "none", {}, silent)
    with pytest.raises(UsageError, match="is empty"):
        checkpoint_hash(tmp_path, {}, silent)
