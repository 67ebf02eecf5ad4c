"""Thresholds of validity. Each stands with its source in README.md beside this file; a test keeps the two in step."""

from __future__ import annotations

TOKEN_COUNT_SHARE = 0.01  # above this share of requests with another token count: SUSPECT
TOKEN_COUNT_DEVIATION = 0.10  # above this relative deviation of the summed lengths: INVALID
PERCENTILES_WANTED = (("time_to_first_token", "p95"),)  # besides those that objectives name
