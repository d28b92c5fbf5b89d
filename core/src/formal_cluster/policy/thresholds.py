"""At which counts a policy may change its mind. Pure.

A *threshold* is a number T such that a policy may answer otherwise for T than for T + 1: `> 5` and
`<= 5` have the threshold 5, `>= 5` and `< 5` have 4, `== 5` has both. As long as a count passes
none of them, no policy of the set can tell the difference. They are known for a window only if
nothing but comparisons with numbers is made of its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from formal_cluster.model import BOUNDS, Window
from formal_cluster.policy.findings import Location
from formal_cluster.policy.reads import Reads, Step
from formal_cluster.policy.syntax import Symbol


def thresholds(comparison: str) -> set[int]:
    """The thresholds of a comparison such as `> 5`; those below zero are never passed."""
    operator, _, text = comparison.partition(" ")
    number = Fraction(text)
    at_or_below = math.floor(number)
    below = math.ceil(number) - 1
    found = {
        ">": {at_or_below},
        "<=": {at_or_below},
        ">=": {below},
        "<": {below},
        "==": {at_or_below, below},
        "!=": {at_or_below, below},
    }[operator]
    if operator in {"==", "!="} and at_or_below != number:
        return set()
    return {threshold for threshold in found if threshold >= 0}


class Asked(NamedTuple):
    """What a policy reads, and its rules that evaluating any stage may involve."""

    reads: Reads
    rules: frozenset[Symbol]


def known_thresholds(
    policies: Iterable[Asked], entity: str, counter: str, window: Window
) -> tuple[int, ...] | None:
    """The thresholds of a counter's window in all policies of a set; None if there may be others.

    What is compared with a bound of the count is a threshold of the count too.
    """
    found: set[int] = set()
    for policy in policies:
        if any(escapes_of(policy, entity, counter, window)):
            return None
        for steps, comparison, _ in policy.reads.thresholds:
            if _means(steps, entity, counter, window):
                found |= thresholds(comparison)
    return tuple(sorted(found))


def escapes_of(policy: Asked, entity: str, counter: str, window: Window) -> Iterator[Location]:
    """Where the value of a counter's window goes that is not a comparison with a number."""
    for rule, steps, at in policy.reads.escapes:
        if rule in policy.rules and _means(steps, entity, counter, window):
            yield at


def _means(steps: tuple[Step, ...], entity: str, counter: str, window: Window) -> bool:
    """Whether a place may be the window, a bound of it, or something that they are in."""
    if len(steps) > 2 and steps[2] in BOUNDS:
        steps = (*steps[:2], *steps[3:])
    return all(
        step is None or step == name
        for step, name in zip(steps, (entity, counter, window.name), strict=False)
    )
