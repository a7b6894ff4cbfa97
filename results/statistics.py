"""Computes the spread over seeds and paired differences, for all tables, figures and comparisons.

Inputs are plain floats, one per seed. A single number has no spread: the functions then return None, never zero.
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
    """Statistics of ours − baseline over n pairs.

    Parameters
    ----------
    low, high
        Bounds of the two-sided t interval for the mean difference at ``CONFIDENCE``, n − 1 degrees
        of freedom.
    p_value
        p of the two-sided paired t-test. p and interval are None if there is no spread: a single pair, or differences
        that are all equal.
    wins, losses, ties
        Numbers of pairs in which ours is better, worse, exactly equal.
    sign_p_value
        p of the exact two-sided sign test over wins and losses, without ties; assumes no distribution. Its minimum
        is 2^(1 − n): 0.25 for three pairs.
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
        Whether a positive difference is a win. The difference is always ours − baseline.

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
    """p of the exact two-sided sign test: a fair coin with ``wins`` heads and ``losses`` tails; 1 without throws."""
    throws = wins + losses
    tail = sum(math.comb(throws, k) for k in range(min(wins, losses) + 1))
    return min(1.0, math.ldexp(tail, 1 - throws))


def _t_test(differences: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Interval and p of the mean difference against zero, from Student's t."""
    error = standard_error(differences)
    centre = mean(differences)
    # Equal differences have a rounding error of about 1e-16 as spread, which would give a p near 0.
    if error is None or error <= 1e-12 * max(1.0, abs(centre)):
        return None, None, None
    from scipy.stats import t

    degrees_of_freedom = len(differences) - 1
    half_width = float(t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom)) * error
    p_value = 2 * float(t.sf(abs(centre) / error, degrees_of_freedom))
    return centre - half_width, centre + half_width, p_value
