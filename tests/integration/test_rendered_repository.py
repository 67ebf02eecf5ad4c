"""The rendered classic repository on a real Triton: our preprocessing, postprocessing, BLS and ensemble wiring.

`tensorrt_llm` alone is the embedded engine's thin model; everything else is what `harness engine render` writes for a
TensorRT engine. Expectations come from the tokenizer and from asking `tensorrt_llm` itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("tritonclient.grpc")
from embedded_client import Client
from embedded_server import SETTINGS, EmbeddedServer, build_model, server_python
from tokenizers import Tokenizer

from harness.engine.classic import ClassicEngine
from harness.engine.engine_config import differences
from harness.engine.inspect import expected_of_server
from harness.engine.load import load_engine
from harness.engine.native_repository import Places, classic_repository, llmapi_repository
from harness.engine.native_templates import find_templates
from harness.target.describe import describe
from harness.target.endpoint import Endpoint
from harness.target.inspect_engine import contract_name

pytestmark = pytest.mark.integration

PROMPT = "class Example(object): pass"
ENGINE = "tensorrt_llm"
# What the embedded engine's `tensorrt_llm`, which stands in for TensorRT-LLM's, says of itself.
ENGINE_S_OWN = ("max_batch_size", "max_num_tokens", "max_seq_len", "max_tokens_in_paged_kv_cache", "dtype")
ENGINE_S_OWN += ("batch_scheduler_policy", "enable_chunked_context", "enable_kv_cache_reuse", "tokens_per_block")


class RenderedServer(EmbeddedServer):
    """The embedded server with the rendered models around its engine."""

    def _render_repository(self) -> Path:
        thin = super()._render_repository() / ENGINE
        repository = self.folder / "rendered"
        for path, content in rendered(self.model_dir).items():
            if not path.startswith(f"{ENGINE}/"):
                (repository / path).parent.mkdir(parents=True, exist_ok=True)
                (repository / path).write_bytes(content)
        thin.rename(repository / ENGINE)
        return repository


def rendered_spec(**more: object) -> ClassicEngine:
    """A shipped spec with few processes: two cores, not a GPU host."""
    spec = load_engine("llama-3.1-8b-fp8-h100").spec
    assert isinstance(spec, ClassicEngine)
    few = {"preprocessing_instance_count": 1, "postprocessing_instance_count": 1, "bls_instance_count": 1}
    few |= {"triton_max_batch_size": int(SETTINGS["triton_max_batch_size"])}
    return spec.model_copy(update={"serving": spec.serving.model_copy(update={**few, **more})})


def rendered(model_dir: Path, **more: object) -> dict[str, bytes]:
    places = Places("/engines/none", str(model_dir))
    return classic_repository(rendered_spec(**more), places, find_templates("classic", None))


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    build_model(server_python(), folder)
    return folder


@pytest.fixture(scope="module")
def server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with RenderedServer(server_python(), tmp_path_factory.mktemp("rendered"), model_dir) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.grpc_url) as one:
        yield one


@pytest.fixture(scope="module")
def tokenizer(model_dir: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_dir / "tokenizer.json"))


def shown_texts(answer: object) -> list[str]:
    return [array.reshape(-1)[0].decode() for array in answer.arrays("text_output") if array is not None]  # type: ignore[attr-defined]


def test_the_rendered_ensemble_streams_the_engine_s_tokens_as_text(client: Client, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT).ids
    expected = [tokenizer.decode([token]) for token in client.tokens(ids, 12, end_id=-1).tokens()]
    inputs = {"text_input": PROMPT, "max_tokens": 12, "end_id": -1, "stream": True}
    counts = {"return_num_input_tokens": True, "return_num_output_tokens": True}
    answer = client.ask("ensemble", **inputs, **counts)
    assert answer.error is None
    assert shown_texts(answer) == expected
    assert answer.scalar("num_input_tokens", 0) == len(ids)
    assert sum(answer.scalar("num_output_tokens", i) for i in range(12)) == 12
    assert answer.finals[-1]


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm_bls"])
@pytest.mark.parametrize("excluded", [True, False])
def test_an_answer_that_is_not_streamed_holds_the_prompt_unless_excluded(
    client: Client, tokenizer: Tokenizer, model: str, excluded: bool
) -> None:
    ids = tokenizer.encode(PROMPT).ids
    tokens = client.tokens(ids, 6, streaming=False, end_id=-1, exclude_input_in_output=excluded).tokens()
    assert len(tokens) == 6 + (0 if excluded else len(ids))
    answer = client.ask(model, text_input=PROMPT, max_tokens=6, end_id=-1, exclude_input_in_output=excluded)
    assert answer.error is None
    assert shown_texts(answer) == [tokenizer.decode(tokens)]


def test_bls_streams_each_step_and_ends_with_an_empty_final_response(client: Client, tokenizer: Tokenizer) -> None:
    expected = [
        tokenizer.decode([token]) for token in client.tokens(tokenizer.encode(PROMPT).ids, 8, end_id=-1).tokens()
    ]
    answer = client.ask("tensorrt_llm_bls", text_input=PROMPT, max_tokens=8, end_id=-1, stream=True)
    assert answer.error is None
    assert shown_texts(answer) == expected
    assert answer.finals == [False] * 8 + [True]
    assert answer.output_names() == set()


def test_bls_accumulates_when_its_parameter_says_so(model_dir: Path) -> None:
    files = rendered(model_dir, accumulate_tokens=True)
    assert b'"accumulate_tokens" value { string_value: "true" }' in files["tensorrt_llm_bls/config.pbtxt"]


def test_stop_words_reach_the_engine_as_ids(client: Client, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT).ids
    tokens = client.tokens(ids, 12, end_id=-1).tokens()
    word = next(tokenizer.decode([t]) for t in tokens[3:] if tokenizer.encode(tokenizer.decode([t])).ids == [t])
    answer = client.ask("ensemble", text_input=PROMPT, max_tokens=12, end_id=-1, stop_words=word, stream=True)
    assert answer.error is None
    assert 0 < len(shown_texts(answer)) < 12


def test_without_an_end_id_the_tokenizer_s_own_ends_the_answer(
    client: Client, model_dir: Path, tokenizer: Tokenizer
) -> None:
    end = json.loads((model_dir / "config.json").read_text())["eos_token_id"]
    ids = tokenizer.encode(PROMPT).ids
    with_its_own = client.tokens(ids, 20, end_id=end).tokens()
    answer = client.ask("ensemble", text_input=PROMPT, max_tokens=20, stream=True, return_num_output_tokens=True)
    assert sum(answer.scalar("num_output_tokens", i) for i in range(len(answer.responses))) == len(with_its_own)


def test_bls_answers_a_budget_of_nothing_with_the_traceback_that_names_it(client: Client) -> None:
    answer = client.ask("tensorrt_llm_bls", text_input=PROMPT, max_tokens=0, stream=True)
    assert "max_tokens must be a single value > 0" in str(answer.error)
    assert "Traceback" in str(answer.error)


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm_bls"])
def test_a_rendered_server_is_what_its_spec_says(server: EmbeddedServer, model_dir: Path, model: str) -> None:
    spec = rendered_spec()
    said = describe(Endpoint(name="rendered", url=server.grpc_url, protocol="triton_grpc", model=model))
    expected = expected_of_server(spec)
    found = {name: value for name, value in said.settings.items() if name not in ENGINE_S_OWN}
    assert differences(expected, {**found, "contract": contract_name(said.contract)}) == []
    assert found["triton_max_batch_size"] == expected["triton_max_batch_size"]
    other = expected_of_server(load_engine("llama-3.1-8b-bf16-h100").spec)
    names = {each.name for each in differences(other, {**found, "contract": contract_name(said.contract)})}
    assert "contract" in names


SCENARIO = """
version: 1
name: rendered
target:
  attach: {{url: "{url}", model: {model}, tokenizer: "{tokenizer}"}}
workload:
  input_tokens: 40
  output_tokens: 12
load:
  kind: closed_loop
  concurrency: 2
phases:
  warm_up_s: 0.5
  window_s: 1.5
"""


def test_harness_run_measures_the_rendered_ensemble_as_it_would_a_real_one(
    server: EmbeddedServer, model_dir: Path, tmp_path: Path
) -> None:
    values = {"url": server.grpc_url, "model": "ensemble", "tokenizer": model_dir / "tokenizer.json"}
    (tmp_path / "rendered.yaml").write_text(SCENARIO.format(**values))
    command = [sys.executable, "-m", "harness.cli.main", "run", "rendered.yaml", "--allow-invalid", "--runs", "runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "runs").glob("*/requests.parquet")
    rows = pd.read_parquet(file)
    window = rows[rows["phase"] == "window"]
    assert len(window) > 0
    assert set(window["outcome"]) == {"ok"}
    assert set(window["input_tokens_server"]) == {40}
    assert set(window["output_tokens_server"]) == {12}
    assert set(window["chunk_offsets_ns"].map(len)) == {12}


# --- the LLM-API model of ours, on a stand-in for `LLM()` ------------------------------------------------------------

# TensorRT-LLM cannot be had here: this has its names and answers with the words of the prompt. It shows that our
# model.py and the rendered files fit Triton, not that they fit TensorRT-LLM.
STAND_IN = """
import asyncio, json, os, types
class SamplingParams:
    def __init__(self, **given): self.given = given
class Result:
    def __init__(self, prompt, params):
        self.words, self.aborted = prompt.split()[: params.given.get("max_tokens", 32)], False
    def step(self, count):
        ended = count == len(self.words)
        one = types.SimpleNamespace(text=" ".join(self.words[:count]), finish_reason="length" if ended else None,
                                    stop_reason=None, cumulative_logprob=-1.5)
        return types.SimpleNamespace(outputs=[one])
    async def __aiter__(self):
        for count in range(1, len(self.words) + 1):
            await asyncio.sleep(0.01)
            if self.aborted: return
            yield self.step(count)
    async def aresult(self): return self.step(len(self.words))
    def abort(self): self.aborted = True
class LLM:
    def __init__(self, **arguments):
        open(os.environ["STAND_IN_LOG"], "w").write(json.dumps(arguments))
    def generate_async(self, prompt, sampling_params, streaming): return Result(prompt, sampling_params)
    def shutdown(self): pass
"""


class LlmApiServer(EmbeddedServer):
    """The rendered LLM-API repository as it is."""

    def _render_repository(self) -> Path:
        spec = load_engine("llama-3.1-8b-bf16-h100").spec
        for path, content in llmapi_repository(spec, find_templates("llmapi", None)).items():
            file = self.folder / "rendered" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return self.folder / "rendered"


def read(answer: Any, name: str) -> list[str]:
    return [array.reshape(-1)[0].decode() for array in answer.arrays(name) if array is not None]


def text(value: str) -> Any:
    return np.array([value.encode()], dtype=object)


def test_the_rendered_llmapi_model_fits_triton(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "tensorrt_llm.py").write_text(STAND_IN)  # the server's working folder is on its models' path
    variables = {"STAND_IN_LOG": str(tmp_path / "arguments.json")}
    with LlmApiServer(server_python(), tmp_path, model_dir, environment=variables) as server:
        with Client(server.grpc_url) as client:
            count = np.array([3], dtype=np.int32)
            asked = {"text_input": text("one two three four"), "sampling_param_max_tokens": count}
            streamed = client.ask(ENGINE, **asked, streaming=np.array([True]), return_finish_reason=np.array([True]))
            whole = client.ask(ENGINE, **asked)
            stopped = client.ask(ENGINE, text_input=text("x"), stop=np.array([True]))
        arguments = json.loads((tmp_path / "arguments.json").read_text())
    assert read(streamed, "text_output") == ["one", "one two", "one two three"]
    assert read(streamed, "finish_reason") == ["None", "None", "length"]
    assert streamed.finals[-1]
    assert read(whole, "text_output") == ["one two three"]
    assert "Request cancelled by client" in str(stopped.error)
    assert arguments["kv_cache_config"]["enable_block_reuse"] is False
    assert "triton_config" not in arguments
