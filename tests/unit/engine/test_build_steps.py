"""The steps of a build, and its cache key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.engine.build_key import build_key, checkpoint_hash, hub_identity
from harness.engine.build_steps import BuildPlaces, classic_of, steps
from harness.engine.classic import ClassicEngine
from harness.engine.load import load_engine
from harness.errors import UsageError

PLACES = BuildPlaces("/trt", "/weights", "/checkpoint", "/engine")
SAID: dict[str, Any] = {
    "kind": "classic",
    "name": "mine",
    "tensorrt_llm_version": "1.2.1",
    "model": {"source": "/models/llama"},
    "gpu": {"product": "NVIDIA H100 80GB HBM3", "memory_gib": 80.0},
    "parallelism": {"tp_size": 2},
    "checkpoint": {"made_by": "convert"},
    "build": {"max_batch_size": 256, "max_num_tokens": 8192, "max_seq_len": 4096},
    "serving": {"enable_kv_cache_reuse": False},
}
QUANTIZE = {"made_by": "quantize", "qformat": "fp8", "kv_cache_dtype": "fp8"}


def spec(**changed: Any) -> ClassicEngine:
    return ClassicEngine.model_validate({**SAID, **changed})


def silent(_: str) -> None:
    """A progress callback that says nothing."""


def test_a_local_checkpoint_is_converted_and_built() -> None:
    convert, build = steps(spec(), PLACES)
    assert convert.command[0] == "python3"
    assert convert.command[1].startswith("/trt/examples/")
    for name, value in (("--model_dir", "/weights"), ("--output_dir", "/checkpoint"), ("--tp_size", "2")):
        assert convert.command[convert.command.index(name) + 1] == value
    assert build.command[:5] == ["trtllm-build", "--checkpoint_dir", "/checkpoint", "--output_dir", "/engine"]
    assert build.command[build.command.index("--max_num_tokens") + 1] == "8192"
    assert [convert.makes, build.makes] == ["/checkpoint", "/engine"]


def test_a_name_on_hugging_face_is_fetched_first_at_its_revision() -> None:
    fetch, convert, _ = steps(spec(model={"source": "meta-llama/X", "revision": "abc"}), PLACES)
    assert " ".join(fetch.command) == "huggingface-cli download meta-llama/X --local-dir /weights --revision abc"
    assert "/weights" in convert.command


@pytest.mark.parametrize("name", ["cpu-tiny", "torch-tiny"])
def test_an_engine_that_needs_no_build_says_why(name: str) -> None:
    with pytest.raises(UsageError, match="needs no build: the first start makes its model"):
        classic_of(load_engine(name).spec)


def test_the_key_changes_with_everything_that_changes_the_engine() -> None:
    key = build_key(spec(), "sha256:1", "H100")
    others = [
        build_key(spec(), "sha256:2", "H100"),
        build_key(spec(), "sha256:1", "H200"),
        build_key(spec(tensorrt_llm_version="1.1.0"), "sha256:1", "H100"),
        build_key(spec(build={**SAID["build"], "max_batch_size": 128}), "sha256:1", "H100"),
        build_key(spec(checkpoint=QUANTIZE), "sha256:1", "H100"),
        build_key(spec(parallelism={"tp_size": 4}), "sha256:1", "H100"),
    ]
    assert len({key, *others}) == 7


def test_the_key_stays_with_what_changes_no_engine() -> None:
    key = build_key(spec(), "sha256:1", "H100")
    assert key == build_key(spec(build={**SAID["build"], "workers": 2}), "sha256:1", "H100")
    assert key == build_key(spec(serving={"enable_kv_cache_reuse": True}), "sha256:1", "H100")
    assert key == build_key(spec(description="other words"), "sha256:1", "H100")


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("about")
    remembered: dict[str, str] = {}
    first = checkpoint_hash(tmp_path, remembered, silent)
    (tmp_path / "README.md").write_text("other words")
    said: list[str] = []
    assert checkpoint_hash(tmp_path, remembered, said.append) == first, "a README is no weight"
    assert said == [], "a file that has not changed is not read again"
    (tmp_path / "model.safetensors").write_bytes(b"weighty")
    assert checkpoint_hash(tmp_path, {}, silent) != first
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert checkpoint_hash(tmp_path, {}, silent) != first


def test_weights_that_are_not_pinned_are_refused() -> None:
    with pytest.raises(UsageError, match="without a revision"):
        hub_identity(spec(model={"source": "meta-llama/X"}))
    assert hub_identity(spec(model={"source": "m/X", "revision": "abc"})) == "hub:m/X@abc"


def test_a_missing_or_empty_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such checkpoint folder"):
        checkpoint_hash(tmp_path / "none", {}, silent)
    with pytest.raises(UsageError, match="is empty"):
        checkpoint_hash(tmp_path, {}, silent)
