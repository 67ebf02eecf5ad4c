"""`harness engine inspect` on servers that are not what the spec says, and on engine folders.

The OpenAI server is constructed (the paths of trtllm-serve, never the real one); the Triton is the truth server, with
the tensors of classic TensorRT-LLM.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli.engine_inspect_command import inspect
from harness.errors import TargetNotReady, UsageError
from harness.truth import process as truth
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

CLASSIC, LLMAPI, SERVE = "llama-3.1-8b-fp8-h100", "llama-3.1-8b-bf16-h100", "llama-3.1-8b-fp8-h200-serve"


@contextlib.contextmanager
def openai_server(version: str, *models: str) -> Iterator[str]:
    pages = {
        "/version": {"version": version},
        "/health": {},
        "/v1/models": {"object": "list", "data": [{"id": name} for name in models]},
    }

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            body = json.dumps(pages.get(self.path, {"error": "no such page"})).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def told(*arguments: str) -> Result:
    return CliRunner().invoke(inspect, arguments, standalone_mode=False)


def as_json(*arguments: str) -> Any:
    return json.loads(told(*arguments, "--json").stdout)


def test_trtllm_serve_is_told_by_its_version_and_model_without_naming_one() -> None:
    with openai_server("1.2.1", "llama-3.1-8b") as url:
        right = told(url, "--spec", SERVE)
        assert right.return_value == 0, right.output
        assert f"as {SERVE} says" in right.output
        said = as_json(url)
    assert said["values"]["served_model_name"] == "llama-3.1-8b"
    assert said["values"]["version"] == "1.2.1"
    assert "no limits and no precision" in said["not_told"]["settings"]


def test_another_model_and_another_version_behind_trtllm_serve_are_differences() -> None:
    with openai_server("1.1.0", "mixtral-8x7b") as url:
        wrong = told(url, "--spec", SERVE)
    assert wrong.return_value == 1
    assert "served_model_name is mixtral-8x7b, the spec says llama-3.1-8b" in wrong.output
    assert "version is 1.1.0, the spec says 1.2.1" in wrong.output


def test_of_several_models_the_expected_one_is_looked_at() -> None:
    with openai_server("1.2.1", "another", "llama-3.1-8b") as url:
        assert told(url, "--spec", SERVE).return_value == 0
        assert as_json(url)["values"]["served_model_name"] == "another, llama-3.1-8b"
        assert isinstance(told(url, "--model", "third").exception, TargetNotReady)


def test_a_triton_with_the_tensors_of_another_generation_is_a_difference(tmp_path: Path) -> None:
    with truth.start(Behaviour(), tmp_path / "sent.jsonl") as server:  # gRPC
        url = server.address
        wrong, of_openai = told(url, "--spec", LLMAPI), told(url, "--spec", SERVE)
        right = as_json(url, "--spec", CLASSIC)
        server.stop()
    assert wrong.return_value == 1
    assert "contract is classic, the spec says llmapi" in wrong.output
    assert "contract is classic, the spec says openai" in of_openai.output
    assert "contract" not in [difference["name"] for difference in right["differences"]]
    assert "its own version" in right["not_told"]["version"]
    assert {"max_num_tokens", "quant_algo", "version"} <= set(right["not_compared"])


CONFIG: dict[str, Any] = {
    "version": "1.2.1",
    "pretrained_config": {
        "architecture": "LlamaForCausalLM",
        "dtype": "bfloat16",
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
    },
    "build_config": {"max_batch_size": 512, "max_num_tokens": 8192, "max_seq_len": 8192, "kv_cache_type": "PAGED"},
}


def engine(folder: Path, **changes: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "rank0.engine").write_bytes(b"engine")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return str(folder)


def test_an_engine_folder_is_compared_in_limits_precision_and_version(tmp_path: Path) -> None:
    right = told(engine(tmp_path / "e"), "--spec", CLASSIC)
    assert right.return_value == 0, right.output
    assert "model_source" in right.output, "which checkpoint it was made of, no engine tells"
    assert "enable_kv_cache_reuse" not in right.output, "how it is served is no matter of the engine"
    other = {**CONFIG["pretrained_config"], "quantization": {"quant_algo": "W4A16_AWQ", "kv_cache_quant_algo": None}}
    limits = {**CONFIG["build_config"], "max_batch_size": 64}
    wrong = told(
        engine(tmp_path / "e", version="1.1.0", pretrained_config=other, build_config=limits), "--spec", CLASSIC
    )
    assert wrong.return_value == 1
    for line in (
        "version is 1.1.0, the spec says 1.2.1",
        "max_batch_size is 64, the spec says 512",
        "quant_algo is W4A16_AWQ, the spec says FP8",
        "kv_cache_quant_algo is none, the spec says FP8",
    ):
        assert line in wrong.output


def test_an_engine_without_a_version_is_not_told_rather_than_different(tmp_path: Path) -> None:
    said = as_json(engine(tmp_path / "e", version=None), "--spec", CLASSIC)
    assert said["differences"] == []
    assert "version" in said["not_told"]
    assert "version" in said["not_compared"]


def test_an_engine_that_lacks_ranks_is_another_one(tmp_path: Path) -> None:
    folder = engine(tmp_path / "e")
    (tmp_path / "e" / "rank0.engine").unlink()
    wrong = told(folder, "--spec", CLASSIC)
    assert wrong.return_value == 1
    assert "ranks is 0, the spec says 1" in wrong.output


def test_an_engine_is_no_llm_api_configuration(tmp_path: Path) -> None:
    wrong = told(engine(tmp_path / "e"), "--spec", LLMAPI)
    assert wrong.return_value == 1
    assert "contract is classic, the spec says llmapi" in wrong.output


@pytest.mark.parametrize("what", ["engines/typo", "./typo", "localhost", "http://127.0.0.1:80/path"])
def test_what_is_neither_folder_nor_address_is_told_so(what: str) -> None:
    wrong = told(what)
    assert isinstance(wrong.exception, UsageError)
    assert "no such folder" in str(wrong.exception)
