"""The columns of a run folder's tables: the waist of the program. Columns may be added, never renamed.

Instants are CLOCK_MONOTONIC of the load host in nanoseconds, except `server_*` instants, which are on the server's
clock and serve for differences only. A missing instant is null, never 0.
"""

from __future__ import annotations

import pyarrow as pa


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


PLAN = pa.schema(
    [
        _required("point_id", pa.string()),
        _required("repetition", pa.int32()),
        _required("index", pa.int64()),
        pa.field("arm", pa.string()),
        pa.field("phase", pa.string()),
        pa.field("intended_offset_ns", pa.int64()),
        _required("workload_part", pa.string()),
        _required("input_tokens", pa.int32()),
        _required("output_tokens", pa.int32()),
        _required("prompt_seed", pa.int64()),
        pa.field("prefix_ids", pa.list_(pa.int64())),
        _required("timeout_ns", pa.int64()),
        pa.field("cancel_after_tokens", pa.int32()),
        pa.field("cancel_after_ns", pa.int64()),
        _required("tenant", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("turn", pa.int32()),
        pa.field("think_time_ns", pa.int64()),
        _required("traced", pa.bool_()),
        pa.field("new_input_tokens", pa.int32()),  # turns that repeat the real reply: the end of the prompt that is new
    ]
)

REQUESTS = pa.schema(
    [
        _required("point_id", pa.string()),
        _required("repetition", pa.int32()),
        pa.field("arm", pa.string()),
        _required("index", pa.int64()),
        _required("request_id", pa.string()),
        _required("phase", pa.string()),
        _required("workload_part", pa.string()),
        _required("tenant", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("turn", pa.int32()),
        pa.field("intended_ns", pa.int64()),
        pa.field("sent_ns", pa.int64()),
        pa.field("first_token_ns", pa.int64()),
        pa.field("last_token_ns", pa.int64()),
        pa.field("done_ns", pa.int64()),
        _required("outcome", pa.string()),
        pa.field("error", pa.string()),
        _required("input_tokens_asked", pa.int32()),
        pa.field("input_tokens_client", pa.int32()),
        pa.field("input_tokens_server", pa.int32()),
        _required("output_tokens_asked", pa.int32()),
        pa.field("output_tokens_client", pa.int32()),
        pa.field("output_tokens_server", pa.int32()),
        _required("chunk_offsets_ns", pa.list_(pa.int64())),
        _required("chunk_tokens", pa.list_(pa.int32())),
        pa.field("server_arrival_ns", pa.int64()),
        pa.field("server_first_scheduled_ns", pa.int64()),
        pa.field("server_first_token_ns", pa.int64()),
        pa.field("server_last_token_ns", pa.int64()),
        _required("worker", pa.int32()),
        _required("connection_reused", pa.bool_()),
    ]
)

TELEMETRY = pa.schema(
    [
        _required("time_ns", pa.int64()),
        _required("source", pa.string()),
        _required("entity", pa.string()),
        _required("metric", pa.string()),
        _required("value", pa.float64()),
        _required("unit", pa.string()),
    ]
)

SERVER_STATISTICS = pa.schema(
    [
        _required("point_id", pa.string()),
        _required("repetition", pa.int32()),
        pa.field("arm", pa.string()),
        _required("edge", pa.string()),  # "window_start" or "window_end"
        _required("time_ns", pa.int64()),
        _required("model", pa.string()),
        _required("model_version", pa.string()),
        _required("counter", pa.string()),
        _required("value", pa.int64()),
        _required("unit", pa.string()),
    ]
)

REQUEST_ORDER = ("point_id", "repetition", "arm", "index")
ROW_GROUP_ROWS = 50_000

PHASES = ("warm_up", "window", "drain")

OUTCOMES = (
    "ok",
    "timeout",
    "connect_error",
    "rejected",
    "server_error",
    "bad_stream",
    "cancelled",
    "not_sent",
)


def request_id(point_id: str, arm: str | None, repetition: int, index: int) -> str:
    """The id sent to the server: `<point_id>/<arm or ->/<repetition>/<index>`."""
    return f"{point_id}/{arm or '-'}/{repetition}/{index}"
