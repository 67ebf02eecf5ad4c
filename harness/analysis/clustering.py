"""How many independent requests are so many requests of one window worth?

Requests over a limit come in clusters: those that wait behind the same long queue are over it together. A test that
counts them as independent is wrong by far: at a load where exactly 10% are over the limit, the early-stopping test at
confidence 0.95 accepted 19 to 44% of simulated windows instead of 5%; with this factor 7 to 13%
(queues: `tests/unit/analysis/test_clustering.py`). More
requests do not mend the plain test: the clusters stay.

The measure is the variance of the count relative to that of independent requests: the integrated autocorrelation time
of the indicator "over", with Geyer's initial positive sequence (1992) as its cut. A window with few requests over the
limit says nothing about clusters, so the indicator of the window's own percentile is looked at too, and the larger
one is taken. Of those, only requests within reach of the limit count, which is from a fifth of the way between the
window's median and the limit on: that requests of 7 ms among those of 6 ms come together says nothing about those
beyond 400 ms. Reach must be wide: from half of the limit on, windows shorter than a long queue takes to fill were
accepted three times as often. In units of requests; at least 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from harness.analysis.early_stopping import HELD, LOST, UNDECIDED, Decision

REACH = 0.2  # of the way from the median to the limit
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def clustering(values: Floats, over: Flags, share: float, limit: float | None = None) -> float:
    """By what factor requests must be divided before they count as independent.

    `values`, `over`, in the order of the intended instants: the metric of each request, higher is worse (inf where it
    failed), and whether it is beyond its limit. `share`: the percentile as 0-1. `limit`: None where all are in reach.
    """
    if over.size < 2:
        return 1.0
    own = values > np.quantile(values, share, method="inverted_cdf")
    if limit is not None:
        own &= _within_reach(values, limit)
    return max(1.0, _autocorrelation_time(over), _autocorrelation_time(own))


def _within_reach(values: Floats, limit: float) -> Flags:
    median = float(np.median(values))
    return values > (median + REACH * (limit - median) if median < limit else limit)


def judge_clustered(over: float, n: float, share: float, confidence: float, factor: float) -> Decision:
    """`early_stopping.judge` for `over` of `n` requests that are worth n / `factor` independent ones.

    The binomial tails are written as incomplete beta functions (LoadGen does the same), which take counts that are not
    whole; with `factor` 1 the answers are those of `early_stopping.judge`.
    """
    over, n = over / factor, n / factor
    if n <= 0:
        return UNDECIDED
    if over < n and betainc(n - over, over + 1, share) <= 1 - confidence:
        return HELD
    return LOST if over > 0 and betainc(over, n - over + 1, 1 - share) <= 1 - confidence else UNDECIDED


def _autocorrelation_time(flags: Flags) -> float:
    centred = flags - flags.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * flags.size)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: flags.size] / power
    pairs = correlation[1 : flags.size // 2 * 2 - 1].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    return float(1 + 2 * pairs[: negative[0] if negative.size else pairs.size].sum())
