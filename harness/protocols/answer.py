"""What came back for one request, decoded: the protocol-independent result that a driver turns into a record."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """One finished request. Instants are on the run's clock; counts are None where the server gave none."""

    outcome: str  # one of records.schemas.OUTCOMES
    error: str | None
    done_ns: int
    chunk_stamps_ns: list[int] = field(default_factory=list)  # one per streamed response that carries output
    chunk_tokens: list[int] = field(default_factory=list)  # output tokens in each; as counted or as assumed
    tokens_counted: bool = False  # the server said how many; else one token per non-empty chunk was assumed
    text: bytes = b""  # the whole output text, where the model returns text
    output_ids: bytes = b""  # the whole output as int32, little-endian, where the model returns ids
    input_tokens_server: int | None = None
    output_tokens_server: int | None = None
    output_tokens_client: int | None = None  # counted from the ids received
    server_arrival_ns: int | None = None
    server_first_scheduled_ns: int | None = None
    server_first_token_ns: int | None = None
    server_last_token_ns: int | None = None
