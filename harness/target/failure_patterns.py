"""Why a server did not start: one table from a line of its log to a sentence and what to do about it. Pure.

TensorRT-LLM says the true reason in the middle of hundreds of lines, often wrapped by two others that only say that
something failed. The first pattern of the table that is found anywhere in the log wins, so the specific ones stand
first. `source` says where the text is known from; where it is not from a server that we saw, it says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What Triton says on every machine without a GPU, and it harms nobody.
NOISE = re.compile(r"CudaDriverHelper has not been initialized|Unable to allocate pinned system memory")

SEEN = "seen in tritonserver 2.51"
SEEN_DOCKER = "seen in docker 28"
FACTS = "TensorRT-LLM's source, documentation or issues"
FROM_MEMORY = "from memory of TensorRT's and CUDA's own messages, not looked up"


@dataclass(frozen=True)
class FailurePattern:
    """One known cause. `sentence` may use the pattern's named groups as `{name}`."""

    pattern: re.Pattern[str]
    sentence: str
    advice: str
    source: str


@dataclass(frozen=True)
class Failure:
    """A cause that was found, and the line that shows it."""

    sentence: str
    advice: str
    line: str


def explain(log: str) -> Failure | None:
    """The cause, as far as the log shows a known one; None when it does not."""
    lines = [line for line in log.splitlines() if not NOISE.search(line)]
    for known in PATTERNS:
        for line in lines:
            found = known.pattern.search(line)
            if found is not None:
                groups = {name: text or "?" for name, text in found.groupdict().items()}
                return Failure(known.sentence.format(**groups), known.advice, line.strip()[:300])
    return None


def _pattern(expression: str, sentence: str, advice: str, source: str, *, case: bool = True) -> FailurePattern:
    return FailurePattern(re.compile(expression, 0 if case else re.IGNORECASE), sentence, advice, source)


PATTERNS: tuple[FailurePattern, ...] = (
    _pattern(
        r"[Cc]annot connect to the Docker daemon",
        "docker's daemon does not run, or this user may not talk to it",
        "start it (systemctl start docker), join the group docker, or use podman",
        SEEN_DOCKER,
    ),
    _pattern(
        r"could not select device driver .* with capabilities: \[\[gpu\]\]",
        "docker cannot hand out GPUs",
        "install the NVIDIA container toolkit and restart docker",
        FROM_MEMORY,
    ),
    _pattern(
        r"maxTokensInPagedKvCache \((?P<tokens>\d+)\) must be large enough to process at least 1 sequence",
        "the KV cache holds {tokens} tokens, fewer than one request of full length needs",
        "free GPU memory (another server on the same GPU? several instances that start at once?), raise "
        "max_tokens_in_paged_kv_cache or kv_cache_free_gpu_mem_fraction, or lower max_seq_len",
        FACTS,
    ),
    _pattern(
        r"When KV cache block reuse is set, model has to be built with paged context FMHA",
        "enable_kv_cache_reuse needs an engine that was built with paged context FMHA",
        "build with use_paged_context_fmha: true, or set enable_kv_cache_reuse: false",
        FACTS,
    ),
    _pattern(
        r"out of memory|cudaErrorMemoryAllocation|OutOfMemoryError",
        "the GPU has too little free memory to load the engine",
        "see who holds it (nvidia-smi); lower kv_cache_free_gpu_mem_fraction, max_num_tokens or max_batch_size, "
        "quantise, or spread over more GPUs (tensor_parallel)",
        FACTS,
        case=False,
    ),
    _pattern(
        r"Both encoder and decoder model paths are empty",
        "the repository names no engine: engine_dir was not filled in",
        "render it again: harness engine render",
        FACTS,
    ),
    _pattern(
        r"Invalid gpt_model_type",
        "batching_strategy is not one that TensorRT-LLM knows, or was not filled in",
        "render it again: harness engine render; valid: inflight_fused_batching, inflight_batching, V1",
        FACTS,
    ),
    _pattern(
        r"unable to find backend library for backend '(?P<backend>[^']+)'",
        "this tritonserver has no backend `{backend}`",
        "use NVIDIA's container with TensorRT-LLM (nvcr.io/nvidia/tritonserver:YY.MM-trtllm-python-py3); from 26.08 on "
        "it may hold a TensorRT-LLM without engines: use contract llmapi there",
        SEEN,
    ),
    _pattern(
        r"(?P<library>libnvinfer[\w.]*|libtensorrt_llm[\w.]*|libcuda[\w.]*|libmpi[\w.]*|libnccl[\w.]*)"
        r": cannot open shared object file",
        "the library {library} is not there",
        "start inside NVIDIA's container, with the NVIDIA container toolkit (--gpus) for libcuda",
        FROM_MEMORY,
    ),
    _pattern(
        r"(?:could not|cannot) find plugin",
        "a plugin of the engine is not there: the engine was built by another TensorRT-LLM, or its plugin library "
        "is not loaded",
        "build the engine with the version that serves it: harness engine inspect shows both",
        FROM_MEMORY,
        case=False,
    ),
    _pattern(
        r"engine plan file is (?:not compatible with this version of TensorRT|generated on an incompatible device)"
        r"|Version tag does not match|serialized engine .*(?:version|incompatible)",
        "the engine was built for another TensorRT or another GPU",
        "build it again on this GPU with this version: harness engine build",
        FROM_MEMORY,
        case=False,
    ),
    _pattern(
        r"CUDA driver version is insufficient",
        "the GPU driver is too old for this CUDA",
        "update the driver, or use an older container",
        FROM_MEMORY,
    ),
    _pattern(
        r"no CUDA-capable device is detected|No CUDA GPUs are available|Found no NVIDIA driver|cudaErrorNoDevice"
        r"|torch sees 0 CUDA devices",
        "there is no GPU that the server can see",
        "check nvidia-smi; in a container: --gpus all, and the NVIDIA container toolkit",
        FROM_MEMORY,
    ),
    _pattern(
        r"mpiSize|MPI (?:world )?size|world[_ ]size .*(?:mismatch|does not match|not equal)",
        "the number of MPI processes does not fit the engine's parallelism",
        "start world_size = tensor_parallel × pipeline_parallel processes: harness engine inspect shows the engine's",
        FROM_MEMORY,
        case=False,
    ),
    _pattern(
        r"No module named '(?P<module>[\w.]+)'",
        "Python lacks the module {module}",
        "use NVIDIA's container with TensorRT-LLM, or install it where the server runs",
        SEEN,
    ),
    _pattern(
        r"Extra inputs are not permitted|extra_forbidden",
        "the YAML of the LLM API has a key that this TensorRT-LLM does not know",
        "the lines above it name the key; does the spec's version fit the server's?",
        FACTS,
    ),
    _pattern(
        r"worker_path.*(?:removed|deprecated|no longer)",
        "the repository is of an older TensorRT-LLM: worker_path no longer exists",
        "render it again with the version that serves it",
        FACTS,
    ),
    _pattern(
        r"ensemble (?P<ensemble>\S+) contains models that are not available or ambiguous: (?P<missing>.+?)\"?$",
        "the ensemble {ensemble} needs a model that is not there or did not load: {missing}",
        "the log says further up why that one did not load",
        SEEN,
    ),
    _pattern(
        r"failed to stat file (?P<path>\S+)",
        "there is no model repository at {path}",
        "check the path; in a container, whether it is mounted",
        SEEN,
    ),
    _pattern(
        r"(?:No such file or directory|does not exist)[:,]? *['\"]?/[^'\" ]+"
        r"|/\S+?['\"]?:? (?:No such file or directory|does not exist)",
        "a path that the server needs is not there",
        "check engine_dir and tokenizer in the spec, and in a container whether they are mounted",
        FROM_MEMORY,
    ),
    _pattern(
        r"No such file or directory \(os error 2\)",
        "a file that a model of the repository reads is not there, most likely the tokenizer's",
        "check `tokenizer` (else `source`) under `model` in the spec: its folder must hold tokenizer.json, and in a "
        "container be mounted",
        "seen: what the library tokenizers says, which names no file",
    ),
    _pattern(
        r"is not a (?:local folder|valid model identifier)|Repository Not Found|401 Client Error|gated repo",
        "the model cannot be had from Hugging Face: wrong name, no network, or no right to it",
        "download it first and give its folder as the model's source, or set HF_TOKEN where the server runs",
        FROM_MEMORY,
    ),
    _pattern(
        r"error while attempting to bind on address \('[^']*', (?P<port>\d+)\)|[Aa]ddress already in use",
        "the server's port is in use",
        "see who has it: ss -ltnp",
        FROM_MEMORY,
    ),
    _pattern(
        r"Bus error|shared memory.*(?:insufficient|too small)|No space left on device.*/dev/shm",
        "shared memory is too small",
        "in a container: --shm-size=8g (and --ipc=host for several GPUs)",
        FROM_MEMORY,
        case=False,
    ),
)
