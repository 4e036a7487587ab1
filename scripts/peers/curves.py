"""Rates at a recall, ratios inside a block, medians. Plain Python: lists of numbers in, numbers out."""

import math
import statistics
from typing import NamedTuple


class Rate(NamedTuple):
    """A rate; `at_least` if the curve begins above the recall in question, so that it is only known not to be lower."""

    value: float
    at_least: bool = False


class Ratio(NamedTuple):
    """Of one block."""

    value: float
    at_least: bool = False


class Spread(NamedTuple):
    """Over blocks."""

    median: float
    least: float
    most: float
    count: int
    at_least: bool = False


def rate_at(points, recall):
    """Rate at a recall from (recall, rate) points; None if no point reaches it.

    Interpolated between the two measured points around it, on the logarithm of the rate: along a curve, a little more recall
    costs a factor. Points that another one beats in both are left out first, so that noise in recall cannot make two answers.
    """
    curve = frontier(points)
    if not curve or curve[-1][0] < recall:
        return None
    if curve[0][0] >= recall:
        return Rate(curve[0][1], at_least=curve[0][0] > recall)
    for (low, fast), (high, slow) in zip(curve, curve[1:]):
        if recall == high:
            return Rate(slow)
        if low < recall < high:
            part = (recall - low) / (high - low)
            return Rate(math.exp((1 - part) * math.log(fast) + part * math.log(slow)))
    raise AssertionError("a curve from below the recall to above it passes it")


def frontier(points):
    """The points that no other point beats in both recall and rate, by ascending recall."""
    best = []
    for recall, rate in sorted(points, key=lambda point: (-point[0], -point[1])):
        if not best or rate > best[-1][1]:
            best.append((recall, rate))
    return best[::-1]


def ef_at(points, recall):
    """Beam width at a recall from (recall, ef) points, interpolated on its logarithm; None outside of them."""
    curve = sorted(points, key=lambda point: point[1])
    for (low, narrow), (high, wide) in zip(curve, curve[1:]):
        if low <= recall <= high and low < high:
            part = (recall - low) / (high - low)
            return math.exp((1 - part) * math.log(narrow) + part * math.log(wide))
    return None


def median(values):
    """The middle value, or the mean of the two in the middle."""
    return statistics.median(values)


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def ratio(ours, theirs):
    """Of two rates; None if either is unknown, or if what divides is only known not to be lower."""
    if ours is None or theirs is None or theirs.at_least:
        return None
    return Ratio(ours.value / theirs.value, ours.at_least)


def together(rates):
    """The geometric mean of rates of one thing that was measured several times; None if one is missing."""
    rates = list(rates)
    if not rates or None in rates:
        return None
    return Rate(geometric_mean([rate.value for rate in rates]), any(rate.at_least for rate in rates))


def spread(values):
    """Median, least and greatest of the blocks' rates or ratios; None if there are none."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    numbers = [value.value for value in values]
    at_least = any(value.at_least for value in values)
    return Spread(statistics.median(numbers), min(numbers), max(numbers), len(numbers), at_least)
