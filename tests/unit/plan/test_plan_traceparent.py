"""Traced requests carry a header that trace collectors accept, another one each."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.plan.nonce import PromptKey
from harness.plan.traceparent import traceparent

KEY = PromptKey("5f0c", 1, "all-r4", None, 0, 0)


def test_the_header_has_the_form_of_the_recommendation_and_is_sampled() -> None:
    assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01", traceparent(KEY))
    assert traceparent(KEY) == traceparent(replace(KEY))


def test_no_two_requests_share_a_trace() -> None:
    keys = [replace(KEY, index=index, repetition=repetition) for index in range(500) for repetition in range(3)]
    keys += [
        replace(KEY, salt="other"),
        replace(KEY, attempt=2),
        replace(KEY, arm="candidate"),
        replace(KEY, point_id="x"),
    ]
    assert len({traceparent(key)[3:35] for key in keys}) == len(keys)
    assert len({traceparent(key)[36:52] for key in keys}) == len(keys)
