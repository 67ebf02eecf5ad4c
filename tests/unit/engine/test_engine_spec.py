"""Engine specs: strict, named refusals, and a hash that follows what could change a measurement."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.engine.cpu import NOT_ON_CPU, CpuEngine, CpuSettings
from harness.engine.load import load_engine
from harness.engine.spec import spec_hash
from harness.engine.torch_engine import NOT_IN_TORCH, TorchSettings
from harness.errors import ScenarioError, UsageError
from harness.resources import names, shipped


def written(folder: Path, *changes: tuple[str, str], name: str = "mine") -> str:
    """A copy of cpu-tiny under another name with lines replaced; its path."""
    text = shipped("engines", "cpu-tiny.yaml").read_text().replace("name: cpu-tiny", f"name: {name}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def spec_from(text: str) -> CpuEngine:
    return CpuEngine.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize("name", ["cpu-tiny", "cpu-small", "cpu-tiny-llmapi"])
def test_the_shipped_engines_load(name: str) -> None:
    assert load_engine(name).spec.name == name
    assert name in names("engines")


def test_every_setting_of_tensorrt_llm_that_the_library_lacks_is_refused_by_name_with_its_reason(
    tmp_path: Path,
) -> None:
    lines = "\n".join(f"  {name}: 1" for name in NOT_ON_CPU)
    with pytest.raises(ScenarioError) as caught:
        load_engine(written(tmp_path, ("settings: #", f"settings:\n{lines}\n  #")))
    for name, why in NOT_ON_CPU.items():
        assert f"settings.{name}: cannot be honoured by the cpu engine: {why}" in caught.value.message


def test_no_refused_setting_is_also_an_accepted_one() -> None:
    assert not NOT_ON_CPU.keys() & CpuSettings.model_fields.keys()


def test_a_refusal_does_not_hide_the_other_mistakes(tmp_path: Path) -> None:
    path = written(
        tmp_path, ("max_batch_size: 16", "max_beam_width: 2\n  max_batch_size: many"), ("threads:", "threds:")
    )
    with pytest.raises(ScenarioError) as caught:
        load_engine(path)
    said = caught.value.message
    assert "max_beam_width" in said
    assert "'many'" in said
    assert "did you mean `threads`" in said


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (("max_num_tokens: 512", "max_num_tokens: 8"), "settings.max_num_tokens", "at least max_batch_size (16)"),
        (
            ("max_tokens_in_paged_kv_cache: 16384", "max_tokens_in_paged_kv_cache: 1024"),
            "settings.max_tokens_in_paged_kv_cache",
            "at least max_seq_len (2048)",
        ),
        (("kv_heads: 2", "kv_heads: 3"), "model.kv_heads", "must divide attention_heads (4)"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_at_their_line(
    tmp_path: Path, change: tuple[str, str], field: str, reason: str
) -> None:
    path = written(tmp_path, change)
    line = next(n for n, text in enumerate(Path(path).read_text().splitlines(), 1) if change[1] in text)
    with pytest.raises(ScenarioError) as caught:
        load_engine(path)
    assert f":{line}:" in caught.value.message
    assert f"{field}: must" in caught.value.message
    assert reason in caught.value.message


def test_a_spec_whose_name_is_not_its_file_s_is_refused(tmp_path: Path) -> None:
    path = Path(written(tmp_path)).rename(tmp_path / "other.yaml")
    with pytest.raises(UsageError, match=r"name is 'mine' but the file is called other\.yaml"):
        load_engine(str(path))


def test_an_engine_of_the_llm_api_has_one_model_and_refuses_what_belongs_to_another(tmp_path: Path) -> None:
    llmapi = ("threads: 1", "contract: llmapi\nthreads: 1")
    assert load_engine(written(tmp_path, llmapi)).spec.models == ("tensorrt_llm",)
    with pytest.raises(ScenarioError, match=r"settings\.accumulate_tokens: is a setting of tensorrt_llm_bls"):
        load_engine(written(tmp_path, llmapi, ("settings: #", "settings:\n  accumulate_tokens: true\n  #")))


def test_the_hash_changes_with_a_setting_and_not_with_words() -> None:
    text = shipped("engines", "cpu-tiny.yaml").read_text()
    base = spec_hash(spec_from(text))
    assert spec_hash(spec_from(text.replace("name: cpu-tiny", "name: other").replace("quick", "slow"))) == base
    for old, new in (("threads: 1", "threads: 2"), ("seed: 0", "seed: 1"), ("max_seq_len: 2048", "max_seq_len: 1024")):
        assert spec_hash(spec_from(text.replace(old, new))) != base


def test_an_injected_slowdown_is_another_engine_and_none_keeps_the_hash_it_always_had() -> None:
    spec = spec_from(shipped("engines", "cpu-tiny.yaml").read_text())
    assert spec_hash(spec) == "357466f7c464b609"
    slowed = spec.settings.model_copy(update={"injected_slowdown_ratio": 0.1})
    assert spec_hash(spec.model_copy(update={"settings": slowed})) != spec_hash(spec)


def test_the_torch_engine_refuses_by_name_what_it_cannot_honour(tmp_path: Path) -> None:
    text = shipped("engines", "torch-tiny.yaml").read_text().replace("name: torch-tiny", "name: mine")
    lines = "\n".join(f"  {name}: 1" for name in NOT_IN_TORCH)
    path = tmp_path / "mine.yaml"
    path.write_text(re.sub(r"^settings:.*$", f"settings:\n{lines}", text, flags=re.MULTILINE))
    with pytest.raises(ScenarioError) as caught:
        load_engine(str(path))
    for name, why in NOT_IN_TORCH.items():
        assert f"settings.{name}: cannot be honoured by the torch engine: {why}" in caught.value.message
    assert not NOT_IN_TORCH.keys() & TorchSettings.model_fields.keys()


def test_an_unknown_kind_is_told_with_the_kinds_there_are(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"kind: found 'clasic', did you mean `classic`\? allowed: .*torch"):
        load_engine(written(tmp_path, ("kind: cpu", "kind: clasic")))
