"""A Llama-type decoder with random weights in plain PyTorch, on a paged KV cache: one packed forward per iteration.

Linear layers see all tokens of an iteration as one matrix, whatever request they belong to (that is what inflight
batching saves). Attention is computed for all generating sequences at once, and for each piece of a prompt by itself;
keys and values are gathered from the cache's blocks. No CUDA graph, no fused kernel but torch's own
`scaled_dot_product_attention`: slower than TensorRT-LLM, with curves of the same kind.

Sizes in the comments: T tokens of the iteration, D generating sequences, L context tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from llama_shape import NORM_EPSILON, ROPE_BASE, Shape
from torch.nn import functional

Tensor = Any  # torch is not installed where this is type-checked


@dataclass(frozen=True)
class PromptPiece:
    """Rows [first, last) of the iteration are one sequence's; its context, they included, has `context` tokens."""

    first: int
    last: int
    table: Tensor  # its blocks
    context: int


@dataclass(frozen=True)
class Batch:
    """One iteration. Rows 0…D−1 are the generating sequences."""

    tokens: Tensor  # [T]
    positions: Tensor  # [T]
    slots: Tensor  # [T]: where in the cache each token's key and value go
    tables: Tensor  # [D, blocks]: padded with block 0, which `contexts` masks
    contexts: Tensor  # [D]: context tokens, the new one included
    pieces: Sequence[PromptPiece]
    wanted: Tensor  # rows whose logits are asked for


class Llama:
    """Weights and cache on one device. The same shape and seed give the same weights on the same kind of device."""

    def __init__(self, shape: Shape, device: str, dtype: Any, blocks: int, block_tokens: int) -> None:
        self._shape, self._block_tokens = shape, block_tokens
        generator = torch.Generator(device).manual_seed(shape.seed)

        def weight(rows: int, columns: int, scale: float | None = None) -> Tensor:
            drawn = torch.randn((rows, columns), generator=generator, device=device, dtype=dtype)
            return drawn.mul_(columns**-0.5 if scale is None else scale)

        width, kv_width = shape.attention_heads * shape.head_size, shape.kv_heads * shape.head_size
        hidden, inner = shape.hidden_size, shape.feed_forward_size
        self._embedding = weight(shape.vocabulary_size, hidden, 0.05)
        self._layers = [
            {
                "qkv": weight(width + 2 * kv_width, hidden),
                "out": weight(hidden, width),
                "gate_up": weight(2 * inner, hidden),
                "down": weight(hidden, inner),
            }
            for _ in range(shape.layers)
        ]
        size = (shape.layers, blocks * block_tokens, shape.kv_heads, shape.head_size)
        self._keys = torch.zeros(size, device=device, dtype=dtype)
        self._values = torch.zeros(size, device=device, dtype=dtype)
        exponent = torch.arange(0, shape.head_size, 2, device=device, dtype=torch.float32) / shape.head_size
        self._frequency = ROPE_BASE**-exponent
        self._norm = torch.ones(hidden, device=device, dtype=dtype)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [wanted, vocabulary] in float32; keys and values of all rows are in the cache afterwards."""
        x = functional.embedding(batch.tokens, self._embedding)
        angle = batch.positions.to(torch.float32)[:, None] * self._frequency
        cosine, sine = (part.to(x.dtype).repeat(1, 2)[:, None] for part in (angle.cos(), angle.sin()))
        for layer, weights in enumerate(self._layers):
            x = x + self._attention(layer, weights, self._normed(x), cosine, sine, batch)
            gate, up = functional.linear(self._normed(x), weights["gate_up"]).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, weights["down"])
        return functional.linear(self._normed(x[batch.wanted]), self._embedding).float()

    def _normed(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (self._shape.hidden_size,), self._norm, NORM_EPSILON)

    def _attention(
        self, layer: int, weights: dict[str, Tensor], x: Tensor, cosine: Tensor, sine: Tensor, batch: Batch
    ) -> Tensor:
        shape = self._shape
        parts = functional.linear(x, weights["qkv"]).view(len(x), -1, shape.head_size)
        query, key, value = parts.split([shape.attention_heads, shape.kv_heads, shape.kv_heads], dim=1)
        query, key = _rotated(query, cosine, sine), _rotated(key, cosine, sine)
        self._keys[layer][batch.slots] = key
        self._values[layer][batch.slots] = value
        grouped = query.reshape(len(x), shape.kv_heads, -1, shape.head_size)
        mixed = torch.empty_like(grouped)
        generating = len(batch.contexts)
        if generating:
            mixed[:generating] = self._generations(layer, grouped[:generating], batch)
        for piece in batch.pieces:
            mixed[piece.first : piece.last] = self._prompt(layer, grouped[piece.first : piece.last], piece)
        return functional.linear(mixed.reshape(len(x), -1), weights["out"])

    def _generations(self, layer: int, query: Tensor, batch: Batch) -> Tensor:
        """[D, kv_heads, group, head]: the query heads that share a key/value head are the rows of one attention."""
        keys, values = self._gathered(layer, batch.tables)
        length = torch.arange(keys.shape[2], device=query.device)
        mask = (length[None] < batch.contexts[:, None])[:, None, None]
        return functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)

    def _prompt(self, layer: int, query: Tensor, piece: PromptPiece) -> Tensor:
        """[rows, kv_heads, group, head]: causal attention of one piece to its sequence so far."""
        rows, heads, group, size = query.shape
        keys, values = (part[:, :, : piece.context] for part in self._gathered(layer, piece.table[None]))
        position = torch.arange(piece.context, device=query.device)
        mask = position[None] <= position[piece.context - rows :, None]
        stacked = query.permute(1, 2, 0, 3).reshape(1, heads, group * rows, size)
        mixed = functional.scaled_dot_product_attention(stacked, keys, values, attn_mask=mask.repeat(group, 1))
        return mixed.view(heads, group, rows, size).permute(2, 0, 1, 3)

    def _gathered(self, layer: int, tables: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of these block tables, each [sequences, kv_heads, L, head]."""
        shape = self._shape
        paged = (-1, self._block_tokens, shape.kv_heads, shape.head_size)
        flat = (len(tables), -1, shape.kv_heads, shape.head_size)
        keys, values = (
            cache[layer].view(paged)[tables].reshape(flat).transpose(1, 2) for cache in (self._keys, self._values)
        )
        return keys, values


def cache_bytes_per_token(shape: Shape, element_bytes: int) -> int:
    """Keys and values of one token in all layers."""
    return 2 * shape.layers * shape.kv_heads * shape.head_size * element_bytes


def weight_count(shape: Shape) -> int:
    """Parameters; the embedding is tied and counts once."""
    width, kv_width = shape.attention_heads * shape.head_size, shape.kv_heads * shape.head_size
    layer = shape.hidden_size * (2 * width + 2 * kv_width + 3 * shape.feed_forward_size)
    return shape.vocabulary_size * shape.hidden_size + shape.layers * layer


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine
