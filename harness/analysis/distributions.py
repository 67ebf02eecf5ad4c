"""The few distribution functions that the judgements need, without SciPy: gamma, Kolmogorov, Student's t.

Arrays in, arrays out where a judgement looks at many values at once; relative error below 1e-9 in the range used.
"""

from __future__ import annotations

import math

import numpy as np

from harness.metrics.columns import Floats

TERMS = 400  # enough for shapes up to 100; each series stops when nothing changes any more
TINY = 1e-300


def gamma_cdf(values: Floats, shape: float) -> Floats:
    """P(X <= value) for the gamma distribution with this shape and scale 1: the regularised P(a, x).

    Series below shape + 1, Lentz's continued fraction above (Abramowitz & Stegun 6.5.29 and 6.5.31).
    """
    x = np.maximum(values, TINY)
    factor = np.exp(shape * np.log(x) - x - math.lgamma(shape))
    low = x < shape + 1
    result = np.empty_like(x)
    result[low] = factor[low] * _series(x[low], shape)
    result[~low] = 1.0 - factor[~low] * _fraction(x[~low], shape)
    return np.asarray(np.clip(result, 0.0, 1.0))


def _series(x: Floats, shape: float) -> Floats:
    term = np.full_like(x, 1.0 / shape)
    total = term.copy()
    for n in range(1, TERMS):
        term = term * (x / (shape + n))
        total = total + term
        if term.size == 0 or np.all(term < total * 1e-16):
            break
    return total


def _fraction(x: Floats, shape: float) -> Floats:
    b = x + 1.0 - shape
    c, d = np.full_like(x, 1.0 / TINY), 1.0 / b
    total = d.copy()
    for n in range(1, TERMS):
        a = -n * (n - shape)
        b = b + 2.0
        d = 1.0 / _away_from_zero(a * d + b)
        c = _away_from_zero(b + a / c)
        change = d * c
        total = total * change
        if change.size == 0 or np.all(np.abs(change - 1.0) < 1e-16):
            break
    return total


def _away_from_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < TINY, TINY, values)


def kolmogorov_p_value(distance: float, n: int) -> float:
    """The probability of a Kolmogorov-Smirnov distance this large among n values of the named distribution.

    The limit distribution with Stephens' correction for finite n (JRSS B 32, 1970), good from n = 5 on.
    """
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    if scaled < 0.3:
        return 1.0  # the alternating series converges slowly there, and its sum is 1 to nine digits
    terms = (math.exp(-2.0 * (j * scaled) ** 2) * (2.0 if j % 2 else -2.0) for j in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def student_t_quantile(share: float, freedom: int) -> float:
    """The t with P(T <= t) = share >= 0.5, by bisection on the exact finite sums (Abramowitz & Stegun 26.7.3-4)."""
    low, high = 0.0, 1.0
    while _student_t_cdf(high, freedom) < share:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _student_t_cdf(middle, freedom) < share else (low, middle)
    return (low + high) / 2.0


def _student_t_cdf(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, squared = math.sin(angle), math.cos(angle) ** 2
    if freedom % 2 == 0:
        within = sine * _power_sum(squared, freedom // 2, first_even=True)
    else:
        tail = sine * math.cos(angle) * _power_sum(squared, (freedom - 1) // 2, first_even=False)
        within = 2.0 / math.pi * (angle + tail)
    return 0.5 + within / 2.0


def _power_sum(squared: float, terms: int, *, first_even: bool) -> float:
    """1 + 1/2 c^2 + 1·3/(2·4) c^4 + … (even), or 1 + 2/3 c^2 + 2·4/(3·5) c^4 + … (odd); 0 without terms."""
    total, term = 0.0, 1.0
    for k in range(terms):
        if k:
            term *= squared * ((2 * k - 1) / (2 * k) if first_even else (2 * k) / (2 * k + 1))
        total += term
    return total
