"""The W3C `traceparent` header of a traced request (Trace Context, level 1): a pure function of its prompt key.

Sampled is always set: only rows of the plan with `traced` carry the header.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple

from harness.plan.nonce import PromptKey

NAME = "traceparent"


def traceparent(key: PromptKey) -> str:
    """`00-<trace id>-<parent id>-01`. `key.index` must be the row's own index; ids are never all zero in practice."""
    digest = hashlib.sha256(json.dumps(["traceparent", *astuple(key)]).encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"
