"""trtllm-bench's data set from the plan: one JSON object per line, the same token ids and lengths that Triton is asked.

Ids, not text: the tool then skips tokenising, and the lengths are exactly the planned ones. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.plan.prompts import PromptKey, PromptSource


@dataclass(frozen=True)
class Asked:
    """One planned request: which prompt, and how many tokens in and out."""

    key: PromptKey
    input_tokens: int
    output_tokens: int
    prompt_seed: int
    prefix_ids: tuple[int, ...] = ()


def lines(requests: Iterable[Asked], source: PromptSource) -> Iterator[str]:
    """The lines, each with its newline: task_id, input_ids, output_tokens."""
    for asked in requests:
        ids = source.ids(asked.key, asked.input_tokens, asked.prompt_seed, asked.prefix_ids)
        entry = {"task_id": asked.key.index, "input_ids": ids.tolist(), "output_tokens": asked.output_tokens}
        yield json.dumps(entry) + "\n"
