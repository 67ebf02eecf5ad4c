"""Which requests the engine may work on: what is rejected, what waits, what runs. Pure.

The library underneath has no usable limit of its own on running requests, and a request that can never fit into its
cache takes innocent ones down with it. So both are decided here, before the library sees a request. First come, first
served: a request that does not fit holds back those behind it, as in TensorRT-LLM.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Generic, TypeVar

from generation import GenerationRequest, Progress
from settings import GUARANTEED_NO_EVICT, Settings, blocks

Key = TypeVar("Key", bound=Hashable)


def objection(request: GenerationRequest, settings: Settings, vocabulary_size: int) -> str | None:
    """Why the executor would refuse this request, in TensorRT-LLM's words where it has them; else None."""
    length, longest = len(request.input_ids), settings.max_input_tokens
    if length < 1:
        return "input_ids is empty"
    if length > longest:
        return (
            f"Prompt length ({length}) exceeds maximum input length ({longest}). Set log level to info and check "
            "TRTGptModel logs for how maximum input length is set"
        )
    if request.max_new_tokens < 1:
        return f"request_output_len must be at least 1, not {request.max_new_tokens}"
    if not -1 <= request.end_id < vocabulary_size:
        return f"EndId ({request.end_id}) is not within acceptable range [-1, {vocabulary_size})"
    if not all(0 <= token < vocabulary_size for token in request.input_ids):
        return f"input_ids holds a token id outside [0, {vocabulary_size})"
    return None


def clamped(request: GenerationRequest, settings: Settings) -> GenerationRequest:
    """The request with its output cut, silently as in TensorRT-LLM, to what max_seq_len leaves beside the prompt."""
    room = settings.max_seq_len - len(request.input_ids)
    return request if request.max_new_tokens <= room else replace(request, max_new_tokens=room)


class Admission(Generic[Key]):
    """The queue of accepted requests and the rule that lets them in."""

    def __init__(self, settings: Settings, block_tokens: int) -> None:
        self._settings = settings
        self._block_tokens = block_tokens
        self._total_blocks = settings.max_tokens_in_paged_kv_cache // block_tokens
        self._queue: deque[tuple[Key, Progress]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether max_queue_size requests wait; never with max_queue_size 0."""
        return 0 < self._settings.max_queue_size <= len(self._queue)

    def enqueue(self, key: Key, progress: Progress) -> None:
        self._queue.append((key, progress))

    def withdraw(self, key: Key) -> Progress | None:
        """Take a waiting request out again; None if it does not wait here."""
        for index, (waiting, progress) in enumerate(self._queue):
            if waiting == key:
                del self._queue[index]
                return progress
        return None

    def admit(self, running: Iterable[Progress]) -> list[tuple[Key, Progress]]:
        """The waiting requests that start now, beside those that run, in the order in which they came."""
        if not self._queue:
            return []
        members = list(running)
        held = sum(self._claim(progress) for progress in members)
        admitted: list[tuple[Key, Progress]] = []
        while self._queue and len(members) + len(admitted) < self._settings.max_batch_size:
            claim = self._claim(self._queue[0][1])
            if held + claim > self._total_blocks:
                break
            held += claim
            admitted.append(self._queue.popleft())
        return admitted

    def _claim(self, progress: Progress) -> int:
        """Blocks to set aside: up to the last token under guaranteed_no_evict, else what is held now."""
        if self._settings.batch_scheduler_policy == GUARANTEED_NO_EVICT:
            request = progress.request
            return blocks(len(request.input_ids) + request.max_new_tokens, self._block_tokens)
        return blocks(progress.length_tokens, self._block_tokens)
