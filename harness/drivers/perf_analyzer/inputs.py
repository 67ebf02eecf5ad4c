"""perf_analyzer's input file from the plan, and the key by which an exported request finds its row again.

With one worker thread perf_analyzer takes the entries in order and each once (seen with 2.51.0: more threads stride
through the file, each on its own). Shapes are without the batch dimension: the tool adds it itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from harness.drivers.planned import PlannedRow, Prompts

Key = str | bytes

_CONSTANTS: Mapping[str, int | bool] = {
    "return_num_input_tokens": True,
    "return_num_output_tokens": True,
    "return_perf_metrics": True,
    "exclude_input_in_output": True,
    "end_id": -1,
    "beam_width": 1,
}


def constants(offered: Mapping[str, str]) -> dict[str, int | bool]:
    """The inputs that are the same in every request, as far as the model has them; as `protocols.triton_grpc`."""
    stream = "stream" if "text_input" in offered else "streaming"
    return {name: value for name, value in {stream: True, **_CONSTANTS}.items() if name in offered}


def entry(row: PlannedRow, prompts: Prompts, offered: Mapping[str, str]) -> tuple[Key, dict[str, Any]]:
    """(key, entry of the input file) of one planned request."""
    if "text_input" in offered:
        text = prompts.text(row).decode()
        own: dict[str, str | int | bool] = {"text_input": text, "max_tokens": row.output_tokens}
        return text, {name: _one(value) for name, value in {**own, **constants(offered)}.items()}
    ids = prompts.ids(row)
    own_ids = {"input_lengths": len(ids), "request_output_len": row.output_tokens}
    tensors = {name: _one(value) for name, value in {**own_ids, **constants(offered)}.items()}
    return key_of_ids(ids.tolist()), {"input_ids": {"content": ids.tolist(), "shape": [len(ids)]}, **tensors}


def write(
    rows: Sequence[PlannedRow], prompts: Prompts, offered: Mapping[str, str], file: TextIO
) -> dict[Key, list[PlannedRow]]:
    """Write the input file, one entry per line; returns the rows by key, in the order in which they are sent.

    A prompt of ours has one row, by its nonce; texts from a file may repeat.
    """
    found: dict[Key, list[PlannedRow]] = {}
    file.write('{"data": [\n')
    for number, row in enumerate(rows):
        key, tensors = entry(row, prompts, offered)
        found.setdefault(key, []).append(row)
        file.write((",\n" if number else "") + json.dumps(tensors))
    file.write("\n]}\n")
    return found


def key_of(request_inputs: Mapping[str, Any]) -> Key | None:
    """The key of an exported request; None when it holds no prompt."""
    if "text_input" in request_inputs:
        return str(request_inputs["text_input"])
    ids = request_inputs.get("input_ids")
    return None if ids is None else key_of_ids(ids if isinstance(ids, list) else [ids])


def key_of_ids(ids: Sequence[int]) -> bytes:
    """Token ids as bytes."""
    return np.asarray(ids, dtype="<i4").tobytes()


def _one(value: str | int | bool) -> dict[str, Any]:
    return {"content": [value], "shape": [1]}
