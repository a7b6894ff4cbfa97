"""Spread over seeds and paired differences: the few formulas every table, figure and comparison shares.

Numbers come in as plain floats, one per seed. With a single number there is no spread: the functions then
answer None, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Sample standard deviation (ddof = 1) over √n; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    return math.sqrt(variance / n)


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs say about ours − baseline.

    Parameters
    ----------
    low, high
        Bounds of the two-sided t interval for the mean difference at ``CONFIDENCE``, n − 1 degrees
        of freedom.
    p_value
        Two-sided paired t-test. It and the interval are None when there is no spread to judge by: a single
        pair, or differences that are all equal.
    wins, losses, ties
        Pairs in which ours is better, worse, exactly equal.
    sign_p_value
        Exact two-sided sign test over wins and losses, ties left out; it assumes no distribution. The
        smallest it can be is 2^(1 − n): three pairs never go below 0.25.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    wins: int
    losses: int
    ties: int
    sign_p_value: float


def paired_difference(
    ours: Sequence[float], baseline: Sequence[float], higher_is_better: bool = True
) -> PairedDifference:
    """Compare two equally long sequences, element by element.

    Parameters
    ----------
    higher_is_better
        Decides which sign of a difference is a win; the difference itself is always ours − baseline.

    Raises
    ------
    ValueError
        The lengths differ, or there is no pair.
    """
    differences = [a - b for a, b in zip(ours, baseline, strict=True)]
    if not differences:
        raise ValueError("no pair to compare")
    centre = mean(differences)
    low, high, p_value = _t_test(differences)
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    wins, losses = (better, worse) if higher_is_better else (worse, better)
    return PairedDifference(
        n=len(differences),
        mean=centre,
        low=low,
        high=high,
        p_value=p_value,
        wins=wins,
        losses=losses,
        ties=len(differences) - wins - losses,
        sign_p_value=sign_test(wins, losses),
    )


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p for ``wins`` heads and ``losses`` tails of a fair coin; 1 when never thrown."""
    throws = wins + losses
    tail = sum(math.comb(throws, k) for k in range(min(wins, losses) + 1))
    return min(1.0, math.ldexp(tail, 1 - throws))


def _t_test(differences: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Interval and p of the mean difference against zero, from Student's t."""
    error = standard_error(differences)
    centre = mean(differences)
    # Equal differences leave rounding dust of some 1e-16 behind, which would pass for overwhelming evidence.
    if error is None or error <= 1e-12 * max(1.0, abs(centre)):
        return None, None, None
    from scipy.stats import t

    degrees_of_freedom = len(differences) - 1
    half_width = float(t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom)) * error
    p_value = 2 * float(t.sf(abs(centre) / error, degrees_of_freedom))
    return centre - half_width, centre + half_width, p_value
