"""Means of paired differences, with intervals by Student's t. Plain functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

try:
    from scipy.special import stdtrit
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'intervals need scipy, which is not installed; pip install -c '
        "requirements/constraints.txt -e '.[report]'"
    ) from error

LEVEL = 0.95


class Paired(NamedTuple):
    """What pairs say of a difference.

    With fewer than two pairs there is no deviation, so `sd`, `low` and `high` are None.
    """

    mean: float
    sd: float | None  # of the differences, with n - 1
    low: float | None
    high: float | None
    pairs: int


def quantile(pairs: int, level: float = LEVEL) -> float:
    """Return Student's t for the two-sided interval of a mean: t((1 + level) / 2, n - 1).

    Args:
        pairs: The number n of pairs, at least 2.
        level: The share of intervals that hold the true mean, in (0, 1); default: 0.95.

    Raises:
        ValueError: If a value is outside its range.
    """
    if pairs < 2:
        raise ValueError(
            f'{pairs} pairs have no interval: a deviation needs two at least; add seeds'
        )
    if not 0 < level < 1:
        raise ValueError(f'level={level}, but it must be between 0 and 1')
    return float(stdtrit(pairs - 1, (1 + level) / 2))


def paired(differences: Sequence[float], level: float = LEVEL) -> Paired:
    """Return the mean of differences and its interval: mean +- t s / sqrt(n).

    The interval holds the true mean in `level` of all experiments, if the differences are
    independent and normal.

    Args:
        differences: One for each pair, at least one.
        level: The share of intervals that hold the true mean, in (0, 1); default: 0.95.

    Raises:
        ValueError: If there is no difference, or one is not finite.
    """
    n = len(differences)
    if not n or not all(map(math.isfinite, differences)):
        raise ValueError(
            f'differences {list(differences)}: they must be finite numbers, at least one'
        )
    centre = mean(differences)
    if n == 1:
        return Paired(centre, None, None, None, 1)
    sd = stdev(differences)
    half = quantile(n, level) * sd / math.sqrt(n)
    return Paired(centre, sd, centre - half, centre + half, n)


def pairs_for(sd: float, within: float = 1.0, level: float = LEVEL) -> int:
    """Return how many pairs would tell a difference of `within`.

    This is the smallest n >= 2 with t((1 + level) / 2, n - 1) s / sqrt(n) <= within: the
    interval then reaches no further than `within` to either side of its mean.

    Args:
        sd: The deviation s of the paired differences, >= 0. It is an estimate, so the
            number is one too.
        within: Half the width of the interval, > 0; default: 1.
        level: The share of intervals that hold the true mean, in (0, 1); default: 0.95.

    Raises:
        ValueError: If a value is outside its range.
    """
    if not (sd >= 0 and math.isfinite(sd) and within > 0):
        raise ValueError(
            f'sd={sd}, within={within}, but a deviation is finite and at least 0, and what '
            'is to be told above 0'
        )

    def wide(n: int) -> bool:
        return quantile(n, level) * sd > within * math.sqrt(n)

    high = 2
    while wide(high):
        high *= 2
    low = high // 2  # too few, or 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return high
