"""Instances that reserve hits in blocks and spend them in memory, over one store."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import CounterKey, CounterRead, Instance, Window
from formal_cluster.protocols import Attempt, ReservingCounters
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

PREFIX = b"/test/counters/"
MINUTE = (Window.parse("last_minute"),)
LOGGER = logging.getLogger(__name__)
LIMIT = 300


def read(user: str = "alice", limit: int | None = LIMIT, **changes: bool) -> CounterRead:
    known = None if limit is None else (limit,)
    key = CounterKey("reads", (user, "b"))
    return CounterRead(key, MINUTE, thresholds=(known,), block=32, **changes)


class CountingStore(MemoryStateStore):
    """Counts what is written to it; `puts` may be held up."""

    def __init__(self, memory: MemoryStore) -> None:
        super().__init__(memory, LOGGER)
        self.puts = 0
        self.open = asyncio.Event()
        self.open.set()

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        await self.open.wait()
        self.puts += 1
        return await super().put(key, value, if_revision=if_revision, ttl=ttl)


class Instances:
    """Drivers on one set of keys."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.memory = MemoryStore(history=20_000)

    async def add(self, name: str) -> tuple[LogCounters, CountingStore]:
        store = CountingStore(self.memory)
        await store.start()
        context = CountersContext(Instance(name, "127.0.0.1"), store, PREFIX, LOGGER)
        counters = LogCounters(LogCountersSettings(), context)
        await counters.start()
        self._stack.push_async_callback(counters.stop)
        await eventually(lambda: counters.status().caught_up)
        return counters, store


@pytest.fixture
async def instances() -> AsyncIterator[Instances]:
    async with AsyncExitStack() as stack:
        yield Instances(stack)


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not check():
            await asyncio.sleep(0.005)


def value(counters: LogCounters, what: CounterRead) -> int:
    return counters.peek([what])[0][0].value


def decide(attempt: Attempt, *limits: int) -> bool:
    """As a policy with `> limit` for each counter."""
    permitted = all(
        counts[0].value + 1 <= limit for counts, limit in zip(attempt.counts, limits, strict=True)
    )
    if permitted:
        attempt.commit()
    else:
        attempt.cancel()
    return permitted


async def access(counters: LogCounters, what: CounterRead, limit: int = LIMIT) -> bool:
    attempt = counters.spend([what]) or await counters.attempt_reserved([what], deadline_s=50)
    return decide(attempt, limit)


async def knock(counters: LogCounters, what: CounterRead, times: int) -> int:
    """One caller after the other; how many were let in."""
    admitted = 0
    for _ in range(times):
        admitted += await access(counters, what)
        await asyncio.sleep(0)
    return admitted


async def test_three_instances_admit_exactly_the_limit_with_far_fewer_writes_than_accesses(
    instances: Instances,
) -> None:
    added = [await instances.add(name) for name in ("one", "two", "three")]
    before = sum(store.puts for _, store in added)

    admitted = await asyncio.gather(*(knock(c, read(), 60) for c, _ in added for _ in range(2)))
    assert LIMIT >= sum(admitted)
    assert sum(store.puts for _, store in added) - before < sum(admitted) / 2

    # What some had reserved and not spent comes back, and then the rest gets in.
    async with asyncio.timeout(50):
        total = sum(admitted)
        while total < LIMIT:
            total += await access(added[0][0], read())
            await asyncio.sleep(0.01)
    assert not await access(added[1][0], read())
    await eventually(lambda: [LIMIT] * 3 == [value(c, read()) for c, _ in added])


async def test_with_thresholds_that_are_not_known_it_is_as_exact_and_nothing_is_reserved_ahead(
    instances: Instances,
) -> None:
    added = [await instances.add(name) for name in ("one", "two")]
    unknown = read(limit=None)

    hits = (access(c, unknown, 20) for c, _ in added for _ in range(30))
    assert 20 == sum(await asyncio.gather(*hits))
    await eventually(lambda: 20 == value(added[0][0], unknown))


async def test_what_is_not_spent_is_taken_back_and_a_denied_access_leaves_its_token(
    instances: Instances,
) -> None:
    counters, _ = await instances.add("one")
    assert isinstance(counters, ReservingCounters)
    for _ in range(20):
        assert await access(counters, read())
    attempt = await counters.attempt_reserved([read()], deadline_s=50)
    attempt.cancel()
    attempt.cancel()

    await eventually(lambda: 20 == value(counters, read()))
    await eventually(lambda: not counters._ledger.reserver._purses)


async def test_with_count_denied_a_denied_access_keeps_its_hit(instances: Instances) -> None:
    counters, _ = await instances.add("one")
    counting = read(count_denied=True)
    attempt = await counters.attempt_reserved([counting], deadline_s=50)
    attempt.cancel()

    await asyncio.sleep(0.7)  # longer than any token lives, so that it would be back by now
    assert 1 == value(counters, counting)


async def test_an_access_takes_a_token_of_each_of_its_counters_or_none(
    instances: Instances,
) -> None:
    counters, store = await instances.add("one")
    alice, address = read("alice", 50), read("10.0.0.1", 10)
    for _ in range(5):
        assert await access(counters, alice, 50)
    before = store.puts

    both = [
        decide(await counters.attempt_reserved([alice, address], deadline_s=50), 50, 10)
        for _ in range(12)
    ]

    assert [True] * 10 + [False] * 2 == both
    assert store.puts > before
    await eventually(lambda: (15, 10) == (value(counters, alice), value(counters, address)))


async def test_threads_spend_what_is_reserved_and_get_none_when_nothing_is(
    instances: Instances,
) -> None:
    counters, _ = await instances.add("one")
    assert counters.spend([read()]) is None

    admitted = itertools.count()
    enough = threading.Event()

    def spend_many() -> None:
        further = 200  # tries when there should be nothing left
        while further:
            further -= enough.is_set()
            attempt = counters.spend([read()])
            # The last hit cannot be reserved ahead: who does not wait for the log does not get it.
            if attempt is not None and decide(attempt, LIMIT) and next(admitted) >= LIMIT - 3:
                enough.set()
            time.sleep(0.0005)  # a request takes its time, and other threads run

    with ThreadPoolExecutor(4) as threads:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(threads, spend_many) for _ in range(4)))

    assert LIMIT - 2 <= next(admitted) <= LIMIT


async def test_an_access_that_the_log_does_not_confirm_in_time_is_refused_and_costs_nothing(
    instances: Instances,
) -> None:
    counters, store = await instances.add("one")
    store.open.clear()
    with pytest.raises(CountersUnavailable, match="deadline"):
        await counters.attempt_reserved([read()], deadline_s=0.05)
    cancelled = asyncio.create_task(counters.attempt_reserved([read()], deadline_s=50))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    store.open.set()

    assert await access(counters, read())
    await eventually(lambda: 1 == value(counters, read()))


async def test_who_stops_gives_back_what_it_had_reserved(instances: Instances) -> None:
    counters, _ = await instances.add("one")
    other, _ = await instances.add("two")
    for _ in range(30):
        await access(counters, read())
    await counters.stop()

    await eventually(lambda: 30 == value(other, read()))
