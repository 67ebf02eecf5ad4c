"""perf_analyzer's profile export → replies, one per request, on the wall clock. Pure.

Two traps, seen with 2.51.0. The tool asks for every output the model declares and exports each of them for every
response; where a response does not carry one, the exported number is whatever lay in memory. So a count is believed
only if the request asked for it and it can be true. And the empty response that only carries the final flag is exported
like the others: it is told by its lack of text and absurd counts, or by ids and a length that do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.drivers.perf_analyzer.inputs import Key, key_of
from harness.errors import DriverFailed

_TIMES = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")


@dataclass(frozen=True)
class Reply:
    """One request as exported. Instants: wall clock, ns. `done_ns` is the last response, with or without tokens."""

    key: Key
    sent_ns: int
    done_ns: int
    chunk_stamps_ns: list[int]
    chunk_tokens: list[int]
    counted_by: str | None  # "server", "ids", or None: one token per text was assumed
    input_tokens: int | None
    server_times_ns: tuple[int, int, int, int] | None = None


def replies(export: Mapping[str, Any]) -> list[Reply]:
    """All requests of an export, by the instant of sending. Raises DriverFailed when it is none."""
    try:
        requests = [request for part in export["experiments"] for request in part["requests"]]
        return sorted((_reply(request) for request in requests), key=lambda reply: reply.sent_ns)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DriverFailed(
            f"perf_analyzer's export cannot be read: {error!r}", hint="which version is it? harness tools list"
        ) from error


def _reply(request: Mapping[str, Any]) -> Reply:
    inputs, stamps = request["request_inputs"], [int(stamp) for stamp in request["response_timestamps"]]
    key = key_of(inputs)
    if key is None:
        raise ValueError("a request without its prompt")
    outputs = request.get("response_outputs") or [{} for _ in stamps]
    pairs = [(stamp, each) for stamp, each in zip(stamps, outputs, strict=True) if not _is_empty(inputs, each, outputs)]
    counted_by = _counted_by(inputs, outputs)
    first, last = (outputs[0], pairs[-1][1]) if pairs else ({}, {})
    return Reply(
        key=key,
        sent_ns=int(request["timestamp"]),
        done_ns=stamps[-1] if stamps else int(request["timestamp"]),
        chunk_stamps_ns=[stamp for stamp, _ in pairs],
        chunk_tokens=[_tokens(each, counted_by) for _, each in pairs],
        counted_by=counted_by,
        input_tokens=first.get("num_input_tokens") if inputs.get("return_num_input_tokens") else None,
        server_times_ns=_times(last) if inputs.get("return_perf_metrics") else None,
    )


def _is_empty(inputs: Mapping[str, Any], each: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a last response carries only the final flag."""
    if each is not outputs[-1] or len(outputs) < 2 or not each:
        return False
    if "output_ids" in each:
        return bool(each.get("sequence_length", _length(each["output_ids"])) != _length(each["output_ids"]))
    if each.get("text_output", "") != "":
        return False
    counts = [name for name in ("num_input_tokens", "num_output_tokens") if inputs.get(f"return_{name}")]
    if not counts:
        return True
    same_input = each.get("num_input_tokens") == outputs[0].get("num_input_tokens") or "num_input_tokens" not in counts
    return not same_input or not _possible(inputs, each.get("num_output_tokens", 0))


def _possible(inputs: Mapping[str, Any], tokens: Any) -> bool:
    asked = int(inputs.get("max_tokens", inputs.get("request_output_len", 0)))
    return isinstance(tokens, int) and 0 <= tokens <= asked


def _counted_by(inputs: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> str | None:
    """Whose count to take: what the first response says decides for all."""
    first = outputs[0] if outputs else {}
    if inputs.get("return_num_output_tokens") and _possible(inputs, first.get("num_output_tokens")):
        return "server"
    return "ids" if "output_ids" in first else None


def _tokens(each: Mapping[str, Any], counted_by: str | None) -> int:
    if counted_by == "server":
        return int(each["num_output_tokens"])
    if counted_by == "ids":
        return _length(each["output_ids"])
    return 1 if each.get("text_output", "") != "" else 0


def _length(ids: Any) -> int:
    """Elements of an exported tensor: a list, one number, or an empty string for none."""
    if isinstance(ids, list):
        return len(ids)
    return 0 if ids == "" else 1


def _times(response: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
    """The server's four instants; None unless they are there and in order."""
    values = [response.get(name) for name in _TIMES]
    if not all(isinstance(value, int) and value > 0 for value in values):
        return None
    arrival, scheduled, first_token, last_token = (int(value) for value in values if value is not None)
    return (arrival, scheduled, first_token, last_token) if arrival <= scheduled <= first_token <= last_token else None
