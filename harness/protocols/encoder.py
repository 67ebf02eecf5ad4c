"""The seam of a protocol's sending half: what does not change from request to request, and what an encoder offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Header = tuple[str, str]


@dataclass(frozen=True)
class RequestOptions:
    """What all requests of a task share. HTTP/1.1 writes all of it into each request; gRPC only needs `streamed`."""

    streamed: bool = True
    authority: str = ""  # host:port
    base_path: str = ""  # of a gateway: empty, or `/like/this`
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets


class Encoder(Protocol):
    """Builds the bytes of requests. `extra`: headers of this one request, where the protocol puts them in its bytes."""

    def text(self, request_id: str, text: bytes, output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request with a UTF-8 prompt."""

    def ids(self, request_id: str, ids: NDArray[np.int32], output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request with token ids, shape [input tokens]."""
