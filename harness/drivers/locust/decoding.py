"""How the answers of a task are decoded: as its protocol says, tokens counted here where the server does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.drivers.task import MeasurementTask
from harness.plan.tokens import load_tokenizer
from harness.protocols.contract import ModelContract
from harness.protocols.recount import Decode, recounting
from harness.protocols.table import PROTOCOLS


@dataclass(frozen=True)
class Reading:
    """`decode`: a finished call → its answer. `until_tokens`: a number → the watch that ends a call at that token."""

    decode: Decode
    until_tokens: Callable[[int], Callable[[int, bytes], bool]]


_GRPC = PROTOCOLS["triton_grpc"]
OVER_GRPC = Reading(_GRPC.decode, _GRPC.until_tokens)


def reading_of(task: MeasurementTask) -> Reading:
    """How to read the answers of a task. Raises UsageError for a tokenizer that cannot be read."""
    protocol = PROTOCOLS[task.protocol]
    contract = ModelContract(task.model, task.inputs, task.outputs, task.batched)
    if task.tokenizer is None or protocol.always_counts or contract.counts_tokens:
        return Reading(protocol.decode, protocol.until_tokens)
    tokenizer = load_tokenizer(Path(task.tokenizer))

    def count(text: bytes) -> int:
        return len(tokenizer.encode(text.decode(errors="replace"), add_special_tokens=False).ids)

    return Reading(recounting(protocol.decode, count), protocol.until_tokens)
