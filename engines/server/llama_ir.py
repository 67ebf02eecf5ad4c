"""A Llama-type decoder with random weights as an OpenVINO graph: RoPE, RMSNorm, grouped-query attention, SwiGLU, tied
embeddings.

The graph has the inputs, outputs and stateful key/value variables of an exported Hugging Face decoder, because
OpenVINO GenAI turns exactly that form (ReadValue, Gather by `beam_idx`, Concat, Assign, scaled dot product attention)
into paged attention. Weights come from one seeded generator: the same shape and seed give the same model.

Not here: a trained model. The text it writes means nothing; its cost per token is that of a Llama of this shape.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from llama_shape import NORM_EPSILON, ROPE_BASE, Shape
from openvino import opset13 as op

MASKED = -65_504.0  # the smallest half-precision number: minus infinity would turn a fully masked row into NaN


def build(shape: Shape) -> ov.Model:
    """The decoder: input_ids, attention_mask, position_ids i64 [batch, length], beam_idx i32 [batch] → logits f32."""
    return _Graph(shape).model()


def _integers(*values: int) -> ov.Node:
    return op.constant(np.array(values, dtype=np.int64))


def _real(value: float) -> ov.Node:
    return op.constant(np.float32(value))


class _Graph:
    """The nodes that every layer shares, and the layers."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.random = np.random.default_rng(shape.seed)
        self.first_axis = op.constant(np.array(0, dtype=np.int64))
        self.input_ids = self._input("input_ids", 2, ov.Type.i64)
        self.attention_mask = self._input("attention_mask", 2, ov.Type.i64)
        self.position_ids = self._input("position_ids", 2, ov.Type.i64)
        self.beam_idx = self._input("beam_idx", 1, ov.Type.i32)
        self.batch = op.gather(op.shape_of(self.input_ids), _integers(0), self.first_axis)
        self.cosine, self.sine = self._rotation()
        self.mask = self._mask()
        self.assigned: list[ov.Node] = []

    @staticmethod
    def _input(name: str, rank: int, kind: ov.Type) -> ov.Node:
        node = op.parameter(ov.PartialShape([-1] * rank), kind, name=name)
        node.output(0).set_names({name})
        return node

    def _weight(self, rows: int, columns: int) -> ov.Node:
        return op.constant(self.random.standard_normal((rows, columns), dtype=np.float32) * columns**-0.5)

    def _linear(self, x: ov.Node, rows: int, columns: int) -> ov.Node:
        return op.matmul(x, self._weight(rows, columns), False, True)

    def _rotation(self) -> tuple[ov.Node, ov.Node]:
        """Cosine and sine of the rotary embedding, [batch, 1, length, head_size]."""
        size = self.shape.head_size
        exponent = np.arange(0, size, 2, dtype=np.float32) / size
        frequency = (ROPE_BASE**-exponent).reshape(1, 1, -1).astype(np.float32)
        position = op.convert(op.unsqueeze(self.position_ids, _integers(2)), "f32")
        angle = op.multiply(position, op.constant(frequency))
        angle = op.concat([angle, angle], -1)
        return op.unsqueeze(op.cos(angle), _integers(1)), op.unsqueeze(op.sin(angle), _integers(1))

    def _mask(self) -> ov.Node:
        """Causal and padding mask, [batch, 1, queries, keys]; the paged-attention transform drops it."""
        length = op.squeeze(op.gather(op.shape_of(self.attention_mask), _integers(1), self.first_axis), _integers(0))
        keys = op.range(self.first_axis, length, op.constant(np.array(1, dtype=np.int64)), "i64")
        causal = op.less_equal(op.unsqueeze(keys, _integers(0, 1)), op.unsqueeze(self.position_ids, _integers(2)))
        present = op.unsqueeze(op.convert(self.attention_mask, "boolean"), _integers(1))
        allowed = op.logical_and(causal, present)
        return op.unsqueeze(op.select(allowed, _real(0), _real(MASKED)), _integers(1))

    def _norm(self, x: ov.Node) -> ov.Node:
        mean_square = op.reduce_mean(op.power(x, _real(2)), _integers(-1), keep_dims=True)
        scaled = op.multiply(x, op.divide(_real(1), op.sqrt(op.add(mean_square, _real(NORM_EPSILON)))))
        return op.multiply(scaled, op.constant(np.ones((1, 1, self.shape.hidden_size), np.float32)))

    def _rotate(self, x: ov.Node) -> ov.Node:
        half, size = self.shape.head_size // 2, self.shape.head_size
        first = op.slice(x, _integers(0), _integers(half), _integers(1), _integers(3))
        second = op.slice(x, _integers(half), _integers(size), _integers(1), _integers(3))
        turned = op.concat([op.multiply(second, _real(-1)), first], -1)
        return op.add(op.multiply(x, self.cosine), op.multiply(turned, self.sine))

    def _heads(self, x: ov.Node, count: int) -> ov.Node:
        size = self.shape.head_size
        projected = self._linear(x, count * size, self.shape.hidden_size)
        return op.transpose(op.reshape(projected, _integers(0, 0, count, size), True), _integers(0, 2, 1, 3))

    def _remember(self, layer: int, name: str, fresh: ov.Node) -> ov.Node:
        """The cached keys or values followed by the fresh ones, repeated to the number of attention heads."""
        shape = self.shape
        empty = op.concat([self.batch, _integers(shape.kv_heads), _integers(0), _integers(shape.head_size)], 0)
        variable = f"past_key_values.{layer}.{name}present.{layer}.{name}"
        kept = op.read_value(
            op.broadcast(_real(0), empty),
            variable,
            ov.Type.f32,
            ov.PartialShape([-1, shape.kv_heads, -1, shape.head_size]),
        )
        whole = op.concat([op.gather(kept, self.beam_idx, self.first_axis), fresh], 2)
        self.assigned.append(op.assign(whole, variable))
        return whole if shape.attention_heads == shape.kv_heads else self._repeat(whole)

    def _repeat(self, x: ov.Node) -> ov.Node:
        heads, group = self.shape.attention_heads, self.shape.attention_heads // self.shape.kv_heads
        sizes = op.shape_of(x)
        front = op.gather(sizes, _integers(0, 1), self.first_axis)
        back = op.gather(sizes, _integers(2, 3), self.first_axis)
        target = op.concat([front, _integers(group), back], 0)
        spread = op.broadcast(op.unsqueeze(x, _integers(2)), target, None, "BIDIRECTIONAL")
        return op.reshape(spread, _integers(0, heads, -1, self.shape.head_size), True)

    def _attention(self, layer: int, x: ov.Node) -> ov.Node:
        shape = self.shape
        query = self._rotate(self._heads(x, shape.attention_heads))
        key = self._remember(layer, "key", self._rotate(self._heads(x, shape.kv_heads)))
        value = self._remember(layer, "value", self._heads(x, shape.kv_heads))
        scale = _real(shape.head_size**-0.5)
        mixed = op.scaled_dot_product_attention(query, key, value, self.mask, scale, causal=False)
        width = shape.attention_heads * shape.head_size
        flat = op.reshape(op.transpose(mixed, _integers(0, 2, 1, 3)), _integers(0, 0, width), True)
        return self._linear(flat, shape.hidden_size, width)

    def _feed_forward(self, x: ov.Node) -> ov.Node:
        hidden, inner = self.shape.hidden_size, self.shape.feed_forward_size
        gate = op.swish(self._linear(x, inner, hidden))
        return self._linear(op.multiply(gate, self._linear(x, inner, hidden)), hidden, inner)

    def model(self) -> ov.Model:
        shape = self.shape
        table = self.random.standard_normal((shape.vocabulary_size, shape.hidden_size), dtype=np.float32) * 0.05
        embedding = op.constant(table)
        x = op.gather(embedding, op.convert(self.input_ids, "i32"), self.first_axis)
        for layer in range(shape.layers):
            x = op.add(x, self._attention(layer, self._norm(x)))
            x = op.add(x, self._feed_forward(self._norm(x)))
        logits = op.matmul(self._norm(x), embedding, False, True)
        logits.output(0).set_names({"logits"})
        inputs = [self.input_ids, self.attention_mask, self.position_ids, self.beam_idx]
        return ov.Model([op.result(logits)], self.assigned, inputs, "random-llama")
