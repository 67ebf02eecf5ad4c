"""Ids of shared prefixes. An id says which prefix and how long: id = length in tokens x 2^32 + number.

So a row of the plan is enough to build a prompt, and a prompt may begin with several prefixes of different lengths.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Whole = TypeVar("Whole", int, NDArray[np.int64])

_NUMBERS = 1 << 32


def prefix_id(number: Whole, tokens: int) -> Whole:
    """The id of prefix `number`, `tokens` long."""
    return number + tokens * _NUMBERS


def prefix_number(identity: int) -> int:
    """Which prefix an id names."""
    return identity % _NUMBERS


def prefix_tokens(identity: int) -> int:
    """How many tokens the prefix has."""
    return identity // _NUMBERS
