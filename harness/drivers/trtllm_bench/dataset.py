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
from harness.plan.files import prompt_files
from harness.plan.prompts import PromptKey, PromptSource
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder
from harness.scenario import loader


@dataclass(frozen=True)
class Asked:
    """One planned request: its number, which prompt, and how many tokens in and out."""

    number: int
    key: PromptKey
    input_tokens: int
    output_tokens: int
    prompt_seed: int
    prefix_ids: tuple[int, ...] = ()
    part: str | None = None


def lines(requests: Iterable[Asked], source: PromptSource) -> Iterator[str]:
    """The lines, each with its newline: task_id, input_ids, output_tokens."""
    for asked in requests:
        ids = source.ids(asked.key, asked.input_tokens, asked.prompt_seed, asked.prefix_ids, part=asked.part)
        entry = {"task_id": asked.number, "input_ids": ids.tolist(), "output_tokens": asked.output_tokens}
        yield json.dumps(entry) + "\n"


def write(folder: RunFolder, point: Point, tokenizer: Path | None, path: Path, most: int) -> int:
    """Write the point's first repetition, at most `most` requests; returns how many. Raises RunFolderError, UsageError.

    The prompts are of an attempt of their own, so that they share no beginning with what the run has sent. Turns of a
    session stand one after the other with the planned history: the tool sends them when it likes.
    """
    manifest, plan = folder.manifest(), folder.plan()
    mine = pc.and_(pc.equal(plan["point_id"], point.point_id), pc.equal(plan["repetition"], 0))
    rows = plan.filter(mine).sort_by("index").slice(0, most).to_pylist()
    if not rows:
        raise RunFolderError(f"{folder.path}: the plan has no requests for point {point.point_id}")
    source = PromptSource.from_tokenizer(tokenizer, manifest.seed) if tokenizer else None
    source = (source or PromptSource.without_tokenizer(manifest.seed)).with_files(_files(manifest, point))
    asked = [
        Asked(
            row["index"],
            PromptKey.of_row(manifest.salt, 0, point.point_id, point.arm, 0, row["index"], row["turn"]),
            row["input_tokens"],
            row["output_tokens"],
            row["prompt_seed"],
            tuple(row["prefix_ids"] or ()),
            row["workload_part"],
        )
        for row in rows
    ]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines(asked, source))
    return len(asked)


def _files(manifest: Manifest, point: Point) -> dict[str, str]:
    """Part → its file of prompts; relative paths are those of the scenario file."""
    path = Path(manifest.scenario_file)
    found = prompt_files(loader.read_back(manifest.scenario_text, path), point.workload)
    return {part: str(path.resolve().parent / file) for part, file in found.items()}
