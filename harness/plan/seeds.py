"""One seed per dimension of a run, all derived from the run seed: what is drawn for one never shifts another.

    run seed + dimension + qualifiers ──SHA-256──► 128-bit key ──Philox4x64-10──► 64-bit words

Both algorithms are published and fixed, and only raw words are taken from numpy (its `Generator` methods may change
from release to release), so the same run seed gives the same plan everywhere. Philox: Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, NewType, get_args

import numpy as np
from numpy.typing import NDArray

Seed = NewType("Seed", int)
"""A Philox key, 0 to 2^128 - 1."""

Dimension = Literal[
    "arrivals", "cancels", "lengths", "order", "parts", "probes", "prompts", "sessions", "timeouts", "traced"
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


def derive(run_seed: int, dimension: Dimension, *qualifiers: str) -> Seed:
    """The seed of one dimension, or of one stream within it (e.g. `"lengths", workload, part, "input"`)."""
    text = json.dumps([run_seed, dimension, *qualifiers])
    return Seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))


def words(seed: Seed, count: int) -> NDArray[np.uint64]:
    """The first `count` words of the seed's stream. A longer draw begins with the shorter one."""
    raw: NDArray[np.uint64] = np.random.Philox(key=seed).random_raw(count)
    return raw


def uniforms(seed: Seed, count: int) -> NDArray[np.float64]:
    """The first `count` uniform numbers of the seed's stream, strictly between 0 and 1.

    The middle of one of 2^52 equal cells: neither 0 nor 1 can occur, so that any inverse distribution may be applied.
    """
    return ((words(seed, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def whole_numbers(seed: Seed, count: int, below: int) -> NDArray[np.int64]:
    """The first `count` whole numbers from 0 to `below` - 1, equally likely (to within 2^-52 x `below`)."""
    return np.minimum(uniforms(seed, count) * below, below - 1).astype(np.int64)


def permutation(seed: Seed, count: int) -> NDArray[np.int64]:
    """The numbers 0 to `count` - 1 in random order."""
    return np.argsort(words(seed, count), kind="stable").astype(np.int64)
