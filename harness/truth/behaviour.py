"""How the truth server behaves: one frozen value, every instant and every fault a function of it and of the request.

Durations are seconds (`_s`), as in YAML. Nothing here is drawn at random without `seed`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from harness.errors import UsageError

ErrorStyle = Literal["message", "status"]
CutStyle = Literal["reset", "no_trailers", "close"]
ServiceLaw = Literal["fixed", "exponential"]
FinalFlag = Literal["on_last", "separate", "missing"]


@dataclass(frozen=True)
class Behaviour:
    """What the server does to each request.

    Pace: the first token is due `time_to_first_token_s` after the request is complete, a chunk of k tokens k ×
    `inter_token_s` after the one before it; each gap is moved by a seeded uniform draw from ±`jitter_s`, never below 0.
    `empty_first_chunk` sends a chunk without tokens at half the time to first token.

    Stall: `stall_at_s` after the first inference request the whole server sends nothing for `stall_s` (it goes on
    reading, so arrivals stay truthful), then every stream continues where it stood: schedules move by `stall_s`.

    Slow start: requests that arrive within `slow_until_s` of the first one take `slow_ratio` times as long, as on a
    server whose caches or clocks have not settled.

    Queue: with `servers`, requests wait first come, first served for one of so many servers, each of which takes
    `service_s` per request; the wait comes before everything else. With Poisson arrivals this is M/D/c; with
    `service_law` "exponential" (times with that mean, drawn by seed and request id) M/M/c. The waits of both are known
    in closed form. A request that is rejected takes no server.

    Faults: a share of the requests, chosen by seed and request id, is rejected (UNAVAILABLE), fails or is cut after a
    number of tokens. A number without a share means all requests; a share without a number means before the first
    token. `error_style` "message" is what Triton does (error_message, grpc-status 0). `cut_style`: RST_STREAM,
    END_STREAM on a DATA frame without trailers, or the whole connection closed.

    `final_flag` "separate" sends an empty final response to requests that asked for one, as Triton does, else none.
    `cumulative_text`: each response repeats all text so far. `chunks_per_packet`: so many chunks are due together and
    handed to the kernel in one call; without it, whatever waits is.

    HTTP/1.1 only: `http_chunked` off ends a stream by closing the connection, `http_base_path` stands before every
    path, `required_key` must come as a bearer token or X-Api-Key (else 401); rejections have `http_reject_status`,
    failures before the first event 500, after it an error event. `cut_style` "no_trailers" ends the body in good order.
    `tcp_nodelay` off leaves Nagle's algorithm on, as Triton's HTTP endpoint does.

    Off-by numbers are added to what the server claims; `output_tokens_short_by` is subtracted from what it sends.
    """

    seed: int = 0
    time_to_first_token_s: float = 0.0
    inter_token_s: float = 0.0
    jitter_s: float = 0.0
    tokens_per_chunk: int = 1
    empty_first_chunk: bool = False
    stall_at_s: float | None = None
    stall_s: float = 0.0
    slow_until_s: float = 0.0
    slow_ratio: float = 1.0
    servers: int | None = None
    service_s: float = 0.0
    service_law: ServiceLaw = "fixed"
    slow_accept_s: float = 0.0
    reject_share: float = 0.0
    error_share: float | None = None
    error_after_tokens: int | None = None
    error_style: ErrorStyle = "message"
    error_text: str = "the truth server was told to fail"
    cut_share: float | None = None
    cut_after_tokens: int | None = None
    cut_style: CutStyle = "reset"
    final_flag: FinalFlag = "on_last"
    output_tokens_short_by: int = 0
    claimed_input_tokens_off_by: int = 0
    claimed_output_tokens_off_by: int = 0
    max_concurrent_streams: int | None = None
    goaway_after_streams: int | None = None
    statistics: bool = True
    model_configuration: bool = True
    cumulative_text: bool = False
    chunks_per_packet: int | None = None
    http_chunked: bool = True
    http_reject_status: int = 429
    http_base_path: str = ""
    required_key: str | None = None
    tcp_nodelay: bool = True
    decoupled: bool = True

    def __post_init__(self) -> None:
        """Raise UsageError for a value of the wrong type or range, and for one half of a stall or of a queue."""
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), hints[field.name])
        if (self.stall_at_s is None) != (self.stall_s == 0):
            raise UsageError("a stall needs both stall_at_s and stall_s", hint="give both, or neither")
        if (self.servers or 0) == 0 and (self.servers is not None or self.service_s):
            raise UsageError("a queue needs at least one server", hint="give both servers and service_s, or neither")
        if self.servers is not None and not self.service_s:
            raise UsageError("servers without service_s never make a request wait", hint="give both, or neither")
        if self.tokens_per_chunk < 1:
            raise UsageError(
                "tokens_per_chunk must be at least 1", hint="use empty_first_chunk for a chunk without tokens"
            )

    @property
    def effective_error_share(self) -> float:
        """The share of requests that fail."""
        return _share(self.error_share, self.error_after_tokens)

    @property
    def effective_cut_share(self) -> float:
        """The share of requests that are cut."""
        return _share(self.cut_share, self.cut_after_tokens)

    def to_json(self) -> str:
        """Every field, as `from_json` reads it."""
        return json.dumps(dataclasses.asdict(self))


def from_json(text: str) -> Behaviour:
    """A behaviour from a JSON object of its fields. Raises UsageError for a field it does not know."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the behaviour is not JSON: {error}", hint='write it like {"inter_token_s": 0.01}') from error
    if not isinstance(given, dict):
        raise UsageError("the behaviour is not a JSON object", hint='write it like {"inter_token_s": 0.01}')
    known = [field.name for field in dataclasses.fields(Behaviour)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or known
            raise UsageError(f"a behaviour has no field {name!r}", hint=f"did you mean {near[0]!r}?")
    return Behaviour(**given)


def _share(share: float | None, after_tokens: int | None) -> float:
    if share is not None:
        return share
    return 0.0 if after_tokens is None else 1.0


def _check(name: str, value: Any, hint: Any) -> None:
    allowed = get_args(hint) or (hint,)
    if isinstance(allowed[0], str):
        if value not in allowed:
            raise UsageError(f"{name} is {value!r}", hint=f"allowed: {', '.join(allowed)}")
        return
    if float in allowed and type(value) is int:
        allowed = (*allowed, int)
    if type(value) not in allowed:
        raise UsageError(f"{name} is {value!r}", hint=f"it must be {hint}")
    if type(value) in (int, float) and not name.endswith("off_by") and value < 0:
        raise UsageError(f"{name} is {value!r}", hint="it must not be negative")
    if name.endswith("_share") and value is not None and value > 1:
        raise UsageError(f"{name} is {value!r}", hint="a share lies between 0 and 1")
