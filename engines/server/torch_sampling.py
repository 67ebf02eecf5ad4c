"""The next token from a row of logits, by a request's sampling parameters. Knows torch, no engine."""

from __future__ import annotations

from typing import Any

import torch
from iteration import Sequence

Tensor = Any  # torch is not installed where this is type-checked
NEVER = float("-inf")


class Sampler:
    """One generator per sampled request: the same seed repeats a request, whatever runs beside it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._generators: dict[int, Any] = {}

    def next_tokens(self, sequences: list[Sequence], logits: Tensor) -> list[int]:
        """One token per sequence; `logits` [sequences, vocabulary]."""
        plain = logits.argmax(dim=-1).tolist()
        return [
            int(token) if _is_plain(sequence) else self._chosen(sequence, row.clone())
            for sequence, token, row in zip(sequences, plain, logits, strict=True)
        ]

    def forget(self, key: int) -> None:
        self._generators.pop(key, None)

    def _chosen(self, sequence: Sequence, row: Tensor) -> int:
        sampling = sequence.request.sampling
        _penalise(sequence, row)
        if _end_is_too_early(sequence):
            row[sequence.request.end_id] = NEVER
        if sampling.is_greedy:
            return int(row.argmax())
        row /= max(sampling.temperature, 1e-5)
        if sampling.top_k > 0:
            row[row < row.topk(min(sampling.top_k, len(row))).values[-1]] = NEVER
        if 0 < sampling.top_p < 1:
            _cut_to_nucleus(row, sampling.top_p)
        return int(torch.multinomial(row.softmax(-1), 1, generator=self._generator(sequence)))

    def _generator(self, sequence: Sequence) -> Any:
        if sequence.key not in self._generators:
            self._generators[sequence.key] = torch.Generator(self._device).manual_seed(sequence.request.sampling.seed)
        return self._generators[sequence.key]


def _is_plain(sequence: Sequence) -> bool:
    """Whether the largest logit decides."""
    sampling = sequence.request.sampling
    penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
    return sampling.is_greedy and penalties == (1.0, 0.0, 0.0) and not _end_is_too_early(sequence)


def _end_is_too_early(sequence: Sequence) -> bool:
    request = sequence.request
    return request.end_id >= 0 and sequence.produced < request.min_new_tokens


def _penalise(sequence: Sequence, row: Tensor) -> None:
    """Repetition counts prompt and output, presence and frequency the output, as in TensorRT-LLM."""
    sampling = sequence.request.sampling
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted(set(sequence.tokens)), device=row.device)
        held = row[seen]
        row[seen] = torch.where(held > 0, held / sampling.repetition_penalty, held * sampling.repetition_penalty)
    output = sequence.tokens[len(sequence.request.input_ids) :]
    if output and (sampling.presence_penalty or sampling.frequency_penalty):
        tokens, counts = torch.tensor(output, device=row.device).unique(return_counts=True)
        row[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts


def _cut_to_nucleus(row: Tensor, top_p: float) -> None:
    """Keep the most likely tokens whose probabilities add up to `top_p`, the one that reaches it included."""
    ordered, order = row.softmax(-1).sort(descending=True)
    row[order[ordered.cumsum(-1) - ordered >= top_p]] = NEVER
