"""Instances that count: core's counters on the store under test, with clocks in the rule's hands.

All instances share monotonic time, which can be advanced; wall clocks differ as the rule says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import Capability, CounterKey, CounterRead, Instance, Window
from formal_cluster.protocols import Attempt, Counters, ReservingCounters, StateStore
from formal_cluster_conformance.bed import Bed, eventually
from formal_cluster_conformance.counters.attended import Attended
from formal_cluster_conformance.results import Violation

NEEDS: Final = [
    Capability.COMPARE_AND_SWAP,
    Capability.LINEARIZABLE_WRITES,
    Capability.LINEARIZABLE_READS,
    Capability.WATCH,
    Capability.WATCH_HISTORY,
]
DECIDED_S: Final = 10.0
_CAUGHT_UP_S: Final = 30.0
_LOGGER = logging.getLogger(f"{__name__}.log")
_LOGGER.setLevel(logging.CRITICAL)  # it warns of the very faults that are injected


class Clock:
    """Monotonic time of all instances. It runs by itself, and can be advanced."""

    def __init__(self) -> None:
        self._ahead = 0

    def advance(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        self._ahead += ms * 1_000_000

    def ms(self) -> int:
        """The time in milliseconds."""
        return self() // 1_000_000

    def __call__(self) -> int:
        return time.monotonic_ns() + self._ahead


Maker = Callable[[CountersContext, Clock, float], Counters]
MAKER: Final = "counters"
"""Under this name a run's `shared` may have other counters than core's: the zoo's wrong ones."""


def log_counters(context: CountersContext, clock: Clock, skew_s: float) -> Counters:
    """Core's counters."""
    return LogCounters(
        LogCountersSettings(snapshot_interval_s=1.0),
        context,
        monotonic_ns=clock,
        wall_ns=lambda: time.time_ns() + round(skew_s * 1e9),
    )


class Instances:
    """Counting instances of one rule."""

    def __init__(self, bed: Bed, stack: AsyncExitStack, make: Maker, log: str) -> None:
        self.clock = Clock()
        self._log = log
        self._bed = bed
        self._stack = stack
        self._make = make
        self._there: set[str] = set()

    async def add(self, name: str, *, on: StateStore | None = None, skew_s: float = 0) -> Counters:
        """Start an instance, and wait until it has caught up with the log."""
        driver = on or await self._bed.store()
        context = CountersContext(
            Instance(name, "127.0.0.1"),
            Attended(driver, self._there),
            self._bed.key(f"{self._log}/"),
            _LOGGER,
        )
        counters = self._make(context, self.clock, skew_s)
        self._there.add(name)
        await counters.start()
        self._stack.push_async_callback(counters.stop)
        await caught_up(counters, name)
        return counters

    async def three(self, *, skews_s: Sequence[float] = (0, 0, 0)) -> list[Counters]:
        """Three instances, spread over as many drivers as there may be."""
        drivers = await self._bed.many()
        return [
            await self.add(f"instance-{at}", on=drivers[at % len(drivers)], skew_s=skew_s)
            for at, skew_s in enumerate(skews_s)
        ]


@asynccontextmanager
async def instances(bed: Bed, log: str = "log") -> AsyncIterator[Instances]:
    """Instances that are stopped at the exit; those of one `log` count together."""
    async with AsyncExitStack() as stack:
        yield Instances(bed, stack, bed.shared.get(MAKER, log_counters), log)


async def caught_up(counters: Counters, name: str) -> None:
    """Wait until the instance may decide strictly.

    Raises:
        Violation: It may not in time.
    """
    try:
        await eventually(
            lambda: counters.status().caught_up and not counters.status().unsettled,
            f"{name} catches up with the counter log",
            _CAUGHT_UP_S,
        )
    except Violation as violation:
        status = counters.status()
        why = status.time_unknown or status.unsettled or f"it is at revision {status.revision}"
        raise Violation(f"{violation}: {why}") from None


def read(user: str, window: str = "last_hour") -> list[CounterRead]:
    """What a policy would read of one user."""
    return [CounterRead(CounterKey("access", (user, "bucket")), (Window.parse(window),))]


async def admitted(
    counters: Counters,
    what: Sequence[CounterRead],
    limit: int,
    *,
    deadline_s: float = DECIDED_S,
) -> bool:
    """One strict access under `> limit`; denied ones are taken back.

    Raises:
        CountersUnavailable: It could not be decided in time.
    """
    return _decided(await counters.attempt_strict(what, deadline_s=deadline_s), limit)


def _decided(attempt: Attempt, limit: int) -> bool:
    if all(count.value < limit for row in attempt.counts for count in row):
        attempt.commit()
        return True
    attempt.cancel()
    return False


async def admitted_reserved(
    counters: Counters,
    what: Sequence[CounterRead],
    limit: int,
    *,
    deadline_s: float = DECIDED_S,
) -> bool:
    """As `admitted`, by hits that are reserved already or asked for now."""
    assert isinstance(counters, ReservingCounters)
    attempt = counters.spend(what)
    if attempt is None:
        attempt = await counters.attempt_reserved(what, deadline_s=deadline_s)
    return _decided(attempt, limit)


async def admissions(
    counters: Sequence[Counters], what: Sequence[CounterRead], limit: int, attempts: int
) -> int:
    """How many of many concurrent accesses, spread over the instances, are admitted."""
    try:
        answers = await asyncio.gather(
            *(admitted(counters[at % len(counters)], what, limit) for at in range(attempts))
        )
    except CountersUnavailable as error:
        raise Violation(f"a strict access was not decided in time: {error}") from error
    return sum(answers)


def value(counters: Counters, what: Sequence[CounterRead]) -> int:
    """The count from memory."""
    return counters.peek(what)[0][0].value


async def agree(counters: Sequence[Counters], what: Sequence[CounterRead], expected: int) -> None:
    """Wait until every instance counts so many hits.

    Raises:
        Violation: They do not in time.
    """

    def values() -> list[int]:
        return [value(each, what) for each in counters]

    try:
        await eventually(lambda: values() == [expected] * len(counters), "")
    except Violation:
        raise Violation(f"the instances count {values()} hits, not {expected}") from None


async def at_least(counters: Sequence[Counters], what: Sequence[CounterRead], hits: int) -> None:
    """Wait until every instance counts so many hits or more.

    Raises:
        Violation: They do not in time.
    """
    try:
        await eventually(lambda: all(value(each, what) >= hits for each in counters), "")
    except Violation:
        values = [value(each, what) for each in counters]
        raise Violation(f"the instances count {values} hits, {hits} were admitted") from None
