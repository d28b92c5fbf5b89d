"""How often an instance looks, so that all of them together stay within what ECS allows. Pure.

ECS limits an account's reads in a region to a sustained rate in the order of 20 calls a second,
shared with everybody else there. Every instance reads the whole service, so the calls of a service
grow with the square of its size.
"""

from __future__ import annotations

PAGE = 100
"""Tasks per call, of ListTasks and of DescribeTasks: the most that ECS allows."""

_CALLS_PER_SECOND = 10.0
_LONGEST_S = 300.0


def calls_per_look(instances: int) -> int:
    """ListTasks for running and for stopped tasks, and DescribeTasks for the running ones."""
    pages = max(1, -(-instances // PAGE))
    return pages + 1 + pages


def interval_s(shortest_s: float, instances: int) -> float:
    """Seconds between two looks of one instance of a service of this size.

    At most five minutes: beyond about 330 instances the rate is exceeded, ECS throttles, and the
    retries slow down by themselves.
    """
    for_all_s = instances * calls_per_look(instances) / _CALLS_PER_SECOND
    return max(shortest_s, min(for_all_s, _LONGEST_S))
