"""How the answers of a task are decoded: as its protocol says, tokens counted here where the server does not."""

from __future__ import annotations

from pathlib import Path

from harness.drivers.task import MeasurementTask
from harness.plan.tokens import load_tokenizer
from harness.protocols.contract import ModelContract
from harness.protocols.recount import Decode, recounting
from harness.protocols.table import PROTOCOLS


def decoder(task: MeasurementTask) -> Decode:
    """The decoding of finished calls. Raises UsageError for a tokenizer that cannot be read."""
    protocol = PROTOCOLS[task.protocol]
    contract = ModelContract(task.model, task.inputs, task.outputs, task.batched)
    if task.tokenizer is None or protocol.always_counts or contract.counts_tokens:
        return protocol.decode
    tokenizer = load_tokenizer(Path(task.tokenizer))

    def count(text: bytes) -> int:
        return len(tokenizer.encode(text.decode(errors="replace"), add_special_tokens=False).ids)

    return recounting(protocol.decode, count)
