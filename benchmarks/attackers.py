"""Who tries to get more than a limit allows, and who does not (pure).

Each yields the moments, in seconds since the start, at which one instance is asked. The start is
at the edge of a window of the clock, for the fixed windows among the contestants.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

Attacker = Callable[[int, int, int, float, random.Random], Iterator[float]]
_FIRST_S = 0.05
_BEFORE_S = 0.3  # as long as the slowest takes for the burst
_AFTER_S = 0.1
WINDOWS = 3
"""How many windows long an attack is."""


def at_the_edges(
    instance: int, instances: int, limit: int, window_s: float, _dice: random.Random
) -> Iterator[float]:
    """One access opens a window; the rest of it just before its end, and a full one just after."""
    if instance == 0:
        yield _FIRST_S
    for burst_at in (window_s - _BEFORE_S, window_s + _AFTER_S):
        for number in range(-(-3 * limit // (2 * instances))):
            yield burst_at + number * 1e-6


def all_the_time(
    instance: int, instances: int, limit: int, window_s: float, _dice: random.Random
) -> Iterator[float]:
    """Twice as often as allowed, the instances in turn."""
    every = window_s / (2 * limit)
    for number in range(instance, int(WINDOWS * window_s / every), instances):
        yield number * every


def at_once(
    instance: int, instances: int, limit: int, window_s: float, _dice: random.Random
) -> Iterator[float]:
    """The whole limit at every instance at the same moment."""
    del instance, instances
    for number in range(limit):
        yield window_s / 2 + number * 1e-6


def within_the_limit(
    instance: int, instances: int, limit: int, window_s: float, dice: random.Random
) -> Iterator[float]:
    """No attacker: at random, four fifths of the limit on average."""
    del instance
    at = 0.0
    while True:
        at += dice.expovariate(0.8 * limit / window_s / instances)
        if at > WINDOWS * window_s:
            return
        yield at


ATTACKERS: Mapping[str, Attacker] = {
    "edges": at_the_edges,
    "greedy": all_the_time,
    "at once": at_once,
    "no attacker": within_the_limit,
}
