"""trtllm-bench's data set from the plan: one JSON object per line, the same token ids and lengths that Triton is asked.

Ids, not text: the tool then skips tokenising, and the lengths are exactly the planned ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from harness.errors import RunFolderError
from harness.plan.prompts import PromptKey, PromptSource
from harness.records.manifest import Point
from harness.records.store import RunFolder


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


def write(folder: RunFolder, point: Point, tokenizer: Path | None, path: Path, most: int) -> int:
    """Write the point's first repetition, at most `most` requests; returns how many. Raises RunFolderError, UsageError.

    The prompts are of an attempt of their own, so that they share no beginning with what the run has sent.
    """
    manifest, plan = folder.manifest(), folder.plan()
    mine = pc.and_(pc.equal(plan["point_id"], point.point_id), pc.equal(plan["repetition"], 0))
    rows = plan.filter(mine).sort_by("index").slice(0, most).to_pylist()
    if not rows:
        raise RunFolderError(f"{folder.path}: the plan has no requests for point {point.point_id}")
    source = PromptSource.from_tokenizer(tokenizer, manifest.seed) if tokenizer else None
    source = source or PromptSource.without_tokenizer(manifest.seed)
    asked = [
        Asked(
            PromptKey(manifest.salt, 0, point.point_id, point.arm, 0, row["index"]),
            row["input_tokens"],
            row["output_tokens"],
            row["prompt_seed"],
            tuple(row["prefix_ids"] or ()),
        )
        for row in rows
    ]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines(asked, source))
    return len(asked)
