"""Why a server did not start: every pattern finds its text, and the specific one wins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.target import server_log
from harness.target.failure_patterns import FROM_MEMORY, PATTERNS, explain

LOGS = Path(__file__).with_name("logs")

# Texts as TensorRT-LLM's source and issues have them; the first two stand inside each other's log.
KV_TOO_SMALL = (
    "E1125 model_lifecycle.cc:642] failed to load 'tensorrt_llm' version 1: Internal: unexpected error when creating "
    "modelInstanceState: [TensorRT-LLM][ERROR] Assertion failed: maxTokensInPagedKvCache (1024) must be large enough "
    "to process at least 1 sequence to completion (i.e. must be larger than beam_width (1) * tokensPerBlock (64))"
)
OUT_OF_MEMORY = (
    "Failed to create instance: unexpected error when creating modelInstanceState: [TensorRT-LLM][ERROR] CUDA runtime "
    "error in ::cudaMallocAsync(ptr, n, mMemPool->getPool(), mCudaStream->get()): out of memory"
)
TEXTS = [
    (
        "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?",
        "daemon does not run",
    ),
    ('docker: could not select device driver "" with capabilities: [[gpu]].', "docker cannot hand out GPUs"),
    (KV_TOO_SMALL, "the KV cache holds 1024 tokens, fewer than one request of full length needs"),
    (OUT_OF_MEMORY, "the GPU has too little free memory to load the engine"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "the GPU has too little free memory"),
    ("When KV cache block reuse is set, model has to be built with paged context FMHA support", "paged context FMHA"),
    ("Both encoder and decoder model paths are empty", "names no engine"),
    ("Invalid gpt_model_type. Must be v1/inflight_batching/inflight_fused_batching.", "batching_strategy"),
    ("libnvinfer_plugin.so.10: cannot open shared object file: No such file or directory", "libnvinfer_plugin.so.10"),
    ("IPluginV2 creation: could not find plugin: GPTAttention version 1", "a plugin of the engine is not there"),
    ("The engine plan file is generated on an incompatible device", "another TensorRT or another GPU"),
    ("CUDA driver version is insufficient for CUDA runtime version", "driver is too old"),
    ("RuntimeError: No CUDA GPUs are available", "there is no GPU that the server can see"),
    ("Assertion failed: mpiSize == tp * pp (1 != 2)", "the number of MPI processes"),
    ("ModuleNotFoundError: No module named 'tensorrt_llm'", "Python lacks the module tensorrt_llm"),
    (
        "max_batch_sise\n  Extra inputs are not permitted [type=extra_forbidden]",
        "a key that this TensorRT-LLM does not",
    ),
    ("worker_path parameter has been removed", "worker_path no longer exists"),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/engines/8b/config.json'",
        "a path that the server needs",
    ),
    ("Exception: No such file or directory (os error 2)", "most likely the tokenizer's"),
    ("OSError: meta-llama/X is not a local folder and is not a valid model identifier", "cannot be had from Hugging"),
    ("[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): in use", "port is in use"),
    ("Bus error (core dumped)", "shared memory is too small"),
]


@pytest.mark.parametrize(("text", "sentence"), TEXTS)
def test_a_known_text_becomes_a_sentence_with_advice(text: str, sentence: str) -> None:
    found = explain(f"I1125 some line\n{text}\nanother line")
    assert found is not None
    assert sentence in found.sentence
    assert found.advice
    assert found.line in text


def test_the_specific_cause_wins_over_the_general_one_wherever_they_stand() -> None:
    for order in ((KV_TOO_SMALL, OUT_OF_MEMORY), (OUT_OF_MEMORY, KV_TOO_SMALL)):
        found = explain("\n".join(order))
        assert found is not None
        assert "KV cache holds 1024" in found.sentence


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("no_backend", "this tritonserver has no backend `tensorrtllm`"),
        ("no_repository", "there is no model repository at /srv/nowhere"),
        ("ensemble_lacks_a_model", "the ensemble ens needs a model that is not there or did not load: missing_model"),
    ],
)
def test_real_logs_of_triton_are_explained(log: str, sentence: str) -> None:
    found = explain((LOGS / f"{log}.log").read_text())
    assert found is not None
    assert found.sentence == sentence


@pytest.mark.parametrize("log", ["clean_stop", "model_raises", "stub_dies"])
def test_a_log_without_a_known_cause_is_not_explained_away(log: str) -> None:
    """Among them the warnings about CUDA that Triton prints wherever there is no GPU."""
    text = (LOGS / f"{log}.log").read_text()
    assert explain(text) is None
    assert explain("pinned_memory_manager.cc:273] Unable to allocate pinned system memory: out of memory") is None


def test_every_pattern_has_a_text_here_and_no_sentence_has_an_open_hole() -> None:
    texts = [text for text, _ in TEXTS] + [file.read_text() for file in LOGS.glob("*.log")]
    for known in PATTERNS:
        assert any(known.pattern.search(line) for text in texts for line in text.splitlines()), known.pattern.pattern
        holes = set(re.findall(r"{(\w+)}", known.sentence))
        assert holes <= set(known.pattern.groupindex)
        assert known.source
    assert sum(known.source == FROM_MEMORY for known in PATTERNS) < len(PATTERNS) / 2


def test_a_late_server_is_said_to_be_loading_what_it_loads() -> None:
    stamp = "I1125 04:57:3{}.000000 1 model_lifecycle.cc:472] "
    log = stamp.format(1) + '"loading: a:1"\n' + stamp.format(2) + '"loading: b:1"\n'
    assert server_log.still_loading(log) == ["a", "b"]
    log += stamp.format(4) + "\"successfully loaded 'a'\"\n"
    assert server_log.still_loading(log) == ["b"]
    assert server_log.load_durations_s(log) == {"a": 3.0}


def test_a_model_that_failed_is_not_still_loading() -> None:
    assert server_log.still_loading((LOGS / "no_backend.log").read_text()) == []
