"""The CPU engine: OpenVINO GenAI's continuous batching pipeline behind `engine_interface.Engine`.

The only module that knows OpenVINO. Traps of the library, seen with 2026.4: `max_num_seqs` is ignored with split
prompts (admission.py limits instead); a request that never fits is ended as IGNORED together with others; a prompt
longer than `max_num_batched_tokens` without split prompts raises out of `step()`; metrics lag one step and stay at
their last value when nothing runs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai
from engine_interface import EngineStatistics, Produced
from generation import GenerationRequest
from settings import Settings

BLOCK_TOKENS = 32  # of OpenVINO's CPU paged attention
RUNNING, FINISHED = genai.GenerationStatus.RUNNING, genai.GenerationStatus.FINISHED


class OpenVinoEngine:
    """See engine_interface.Engine."""

    block_tokens = BLOCK_TOKENS

    def __init__(self, engine_dir: Path, settings: Settings) -> None:
        self.vocabulary_size = int(json.loads((engine_dir / "config.json").read_text())["vocab_size"])
        self._total_blocks = settings.max_tokens_in_paged_kv_cache // BLOCK_TOKENS
        properties = {"INFERENCE_NUM_THREADS": settings.threads}
        self._pipeline = genai.ContinuousBatchingPipeline(
            str(engine_dir), self._scheduler(settings), "CPU", properties, {}
        )
        self._running: dict[int, genai.GenerationHandle] = {}

    def _scheduler(self, settings: Settings) -> genai.SchedulerConfig:
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = settings.max_num_tokens
        scheduler.max_num_seqs = settings.max_batch_size
        scheduler.num_kv_blocks = self._total_blocks
        scheduler.dynamic_split_fuse = settings.enable_chunked_context
        scheduler.enable_prefix_caching = settings.enable_kv_cache_reuse
        return scheduler

    def add(self, key: int, request: GenerationRequest) -> None:
        prompt = ov.Tensor(np.array([request.input_ids], dtype=np.int64))
        self._running[key] = self._pipeline.add_request(key, prompt, _configuration(request))

    def step(self) -> list[Produced]:
        self._pipeline.step()
        produced = [self._collect(key, handle) for key, handle in self._running.items()]
        for outcome in produced:
            if outcome.ended:
                del self._running[outcome.key]
        return [outcome for outcome in produced if outcome.tokens or outcome.ended]

    @staticmethod
    def _collect(key: int, handle: genai.GenerationHandle) -> Produced:
        tokens: list[int] = []
        while handle.can_read():
            for output in handle.read().values():
                tokens += output.generated_ids
        status = handle.get_status()
        error = None if status in (RUNNING, FINISHED) else f"the engine gave the request up ({status.name})"
        return Produced(key, tokens, ended=status != RUNNING, error=error)

    def cancel(self, key: int) -> None:
        handle = self._running.pop(key, None)
        if handle is not None:
            handle.cancel()

    def statistics(self) -> EngineStatistics:
        metrics = self._pipeline.get_metrics()
        used = round(metrics.cache_usage / 100 * self._total_blocks)
        return EngineStatistics(used_blocks=used, scheduled_requests=metrics.scheduled_requests)


def _configuration(request: GenerationRequest) -> genai.GenerationConfig:
    sampling, configuration = request.sampling, genai.GenerationConfig()
    configuration.max_new_tokens = request.max_new_tokens
    configuration.min_new_tokens = request.min_new_tokens
    if request.end_id >= 0:
        configuration.set_eos_token_id(request.end_id)
    else:
        configuration.ignore_eos = True
    configuration.repetition_penalty = sampling.repetition_penalty
    configuration.presence_penalty = sampling.presence_penalty
    configuration.frequency_penalty = sampling.frequency_penalty
    if not sampling.is_greedy:
        configuration.do_sample = True
        configuration.rng_seed = sampling.seed
        configuration.temperature = sampling.temperature
        if sampling.top_k > 0:
            configuration.top_k = sampling.top_k
        if 0 < sampling.top_p <= 1:
            configuration.top_p = sampling.top_p
    return configuration
