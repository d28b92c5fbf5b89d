"""What every contestant looks like to the benchmarks.

A contestant is opened once in each instance's process. It answers `may this subject have one more
access, if its limit is so and so?` and counts the access if the answer is yes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum


class Store(StrEnum):
    """Where a contestant's instances meet."""

    NONE = "none"
    REDIS = "Redis"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance runs.

    Attributes:
        space: Unique for each opening of a fleet, so that no two share counts in a store.
        instance: Its number among the instances, from 0.
        window_s: The length of the limits' window, in whole seconds.
    """

    redis_port: int
    etcd_port: int
    space: str
    instance: int = 0
    window_s: int = 60


@dataclass(frozen=True, slots=True)
class Limiter:
    """One instance of a contestant; one of `now` and `later` is set.

    Attributes:
        now: (subject, limit) -> admitted. Blocks for as long as it takes.
        later: The same for contestants that are awaited.
        count: What this instance knows of a subject's accesses, from memory; None where every
            decision asks the store, so that there is no staleness to measure.
        settled: Waits until everything decided here has reached the store; None where it has.
    """

    now: Callable[[str, int], bool] | None = None
    later: Callable[[str, int], Awaitable[bool]] | None = None
    count: Callable[[str], int] | None = None
    settled: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to limit rates.

    Attributes:
        algorithm: Which accesses it counts, in two or three words.
        callers: Calls outstanding at a time in each instance, in closed loops. One for those that
            block.
        local: Whether it decides in memory and shares its counts with the others afterwards.
        limits: False for the bare loop, which only carries hits.
    """

    name: str
    algorithm: str
    store: Store
    open: Callable[[Place], AbstractAsyncContextManager[Limiter]]
    callers: int = 1
    limits: bool = True
    local: bool = False
