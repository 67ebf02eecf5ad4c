"""The torch engine: continuous batching in plain PyTorch behind `engine_interface.Engine`, on CUDA or on the CPU.

Why not the continuous batching of `transformers`: it has no call that advances by one iteration, its configuration
fields differ between releases a few months apart, it shows no free blocks, and behind Triton it did not finish at
concurrency 16 (README.md). This loop is a page of code whose limits are exactly those of the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from block_pool import BlockPool
from engine_interface import EngineStatistics, Produced
from generation import GenerationRequest
from iteration import Piece, Sequence, pause, plan
from llama_shape import Shape
from settings import CPU, RefusedSetting, Settings
from torch_llama import Batch, Llama, PromptPiece, cache_bytes_per_token, weight_count
from torch_sampling import Sampler

WORKSPACE_BYTES = 512 << 20  # activations, gathered keys and values, the libraries' own memory: a rough reserve


class TorchEngine:
    """See engine_interface.Engine. Raises RefusedSetting when the device is not there or the cache does not fit."""

    def __init__(self, engine_dir: Path, settings: Settings) -> None:
        shape = Shape.from_configuration((engine_dir / "config.json").read_text())
        torch.set_num_threads(settings.threads)
        self.vocabulary_size = shape.vocabulary_size
        self.block_tokens = settings.tokens_per_block
        self._settings, self._device = settings, settings.device
        dtype = getattr(torch, settings.dtype)
        total_blocks = settings.max_tokens_in_paged_kv_cache // self.block_tokens
        _require_room(shape, self._device, dtype, total_blocks * self.block_tokens)
        self._model = Llama(shape, self._device, dtype, total_blocks, self.block_tokens)
        self._pool = BlockPool(total_blocks, self.block_tokens, reuse=settings.enable_kv_cache_reuse)
        self._sequences: dict[int, Sequence] = {}  # oldest first
        self._sampler = Sampler(self._device)
        self._scheduled = 0

    def add(self, key: int, request: GenerationRequest) -> None:
        self._sequences[key] = Sequence(key, request, list(request.input_ids))

    def step(self) -> list[Produced]:
        pieces = plan(list(self._sequences.values()), self._settings, self._pool)
        self._scheduled = len(pieces)
        if not pieces:
            return []
        with torch.inference_mode():
            logits = self._model.forward(self._batch(pieces))
            for piece in pieces:
                self._computed(piece)
            done = [piece.sequence for piece in pieces if piece.sequence.computed == len(piece.sequence.tokens)]
            tokens = self._sampler.next_tokens(done, logits)
        return [self._advance(sequence, token) for sequence, token in zip(done, tokens, strict=True)]

    def _computed(self, piece: Piece) -> None:
        """Its tokens are in the cache now; a block that became full can be taken up again by another prompt."""
        sequence = piece.sequence
        before = sequence.computed // self.block_tokens
        sequence.computed += piece.count
        if sequence.computed // self.block_tokens > before:
            self._pool.note(sequence.tokens[: sequence.computed], sequence.blocks)

    def _advance(self, sequence: Sequence, token: int) -> Produced:
        sequence.tokens.append(token)
        ended = sequence.produced >= sequence.request.max_new_tokens
        if ended:
            self.cancel(sequence.key)
        return Produced(sequence.key, [token], ended=ended)

    def cancel(self, key: int) -> None:
        sequence = self._sequences.pop(key, None)
        if sequence is not None:
            pause(sequence, self._pool)
            self._sampler.forget(key)

    def statistics(self) -> EngineStatistics:
        gpu_bytes = torch.cuda.memory_reserved(self._device) if self._device != CPU else 0
        return EngineStatistics(self._pool.used, self._scheduled, gpu_bytes=gpu_bytes)

    def _batch(self, pieces: list[Piece]) -> Batch:
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        prompts: list[PromptPiece] = []
        generating = [piece.sequence for piece in pieces if piece.sequence.generates]
        for piece in pieces:
            sequence, first = piece.sequence, len(tokens)
            span = range(sequence.computed, sequence.computed + piece.count)
            tokens += sequence.tokens[span.start : span.stop]
            positions += span
            slots += [
                sequence.blocks[at // self.block_tokens] * self.block_tokens + at % self.block_tokens for at in span
            ]
            if piece.completes:
                wanted.append(len(tokens) - 1)
            if not sequence.generates:
                prompts.append(PromptPiece(first, len(tokens), self._integers(sequence.blocks), span.stop))
        longest = max((len(sequence.blocks) for sequence in generating), default=0)
        tables = [sequence.blocks + [0] * (longest - len(sequence.blocks)) for sequence in generating]
        return Batch(
            tokens=self._integers(tokens),
            positions=self._integers(positions),
            slots=self._integers(slots),
            tables=self._integers(tables),
            contexts=self._integers([len(sequence.tokens) for sequence in generating]),
            pieces=prompts,
            wanted=self._integers(wanted),
        )

    def _integers(self, values: list[Any]) -> Any:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


def _require_room(shape: Shape, device: str, dtype: Any, cache_tokens: int) -> None:
    if device == CPU:
        return
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= seen:
        raise RefusedSetting(f"device is {device}, but torch sees {seen} CUDA devices here (nvidia-smi -L lists them)")
    needed = weight_count(shape) * dtype.itemsize + cache_tokens * cache_bytes_per_token(shape, dtype.itemsize)
    free, _ = torch.cuda.mem_get_info(device)
    if needed + WORKSPACE_BYTES > free:
        raise RefusedSetting(
            f"weights and a KV cache of {cache_tokens} tokens need {needed / 2**30:.1f} GiB and some working memory, "
            f"{free / 2**30:.1f} GiB of GPU memory are free: CUDA out of memory; lower max_tokens_in_paged_kv_cache"
        )
