"""The `traceparent` header of W3C Trace Context (level 1, version 00) for the requests that are to be traced.

Trace and parent ids are a function of the run's salt and the request's id: the trace of a record can be found in the
tracing system without anything more being stored.
"""

from __future__ import annotations

import hashlib

NAME = "traceparent"


def trace_id(salt: str, request_id: str) -> str:
    """32 hexadecimal digits, never all zero."""
    return _digest(salt, request_id)[:32]


def traceparent(salt: str, request_id: str) -> str:
    """The header's value, with the `sampled` flag set."""
    digest = _digest(salt, request_id)
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def _digest(salt: str, request_id: str) -> str:
    return hashlib.sha256(f"{salt}/{request_id}".encode()).hexdigest()
