"""Starters that ask for the time of a store that tells who is there, and one that does not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from formal_cluster.counters import asking
from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable, Unavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import Capability, CounterKey, CounterRead, Instance, WatchUpdate, Window
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

LOGGER = logging.getLogger(__name__)
ALICE = [CounterRead(CounterKey("reads", ("alice",)), (Window.parse("last_minute"),))]
HOURS_3_S = 3 * 3_600


class SharedStore(MemoryStateStore):
    """The memory store, shared. Its watch can be held up, as a machine under load would do."""

    def __init__(self, memory: MemoryStore) -> None:
        super().__init__(memory, LOGGER)
        self.flowing = asyncio.Event()
        self.flowing.set()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return super().capabilities | {Capability.SHARED}

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                await self.flowing.wait()
                yield update


class PresentStore(SharedStore):
    """Also tells who is there."""

    def __init__(self, memory: MemoryStore, there: set[str]) -> None:
        super().__init__(memory)
        self.there = there
        self.away = False

    async def present(self) -> frozenset[str]:
        if self.away:
            raise Unavailable("not connected")
        return frozenset(self.there)


class Cluster:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.memory = MemoryStore()
        self.there: set[str] = set()

    async def start(
        self, name: str, store: SharedStore | None = None, *, skew_s: int = 0
    ) -> LogCounters:
        store = store or PresentStore(self.memory, self.there)
        await store.start()
        self.there.add(name)
        counters = LogCounters(
            LogCountersSettings(),
            CountersContext(Instance(name, "127.0.0.1"), store, b"/test/", LOGGER),
            wall_ns=lambda: time.time_ns() + skew_s * 1_000_000_000,
        )
        await counters.start()
        self._stack.push_async_callback(counters.stop)
        return counters


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(asking, "FIRST_WAIT_S", 0.1)
    async with AsyncExitStack() as stack:
        yield Cluster(stack)


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not check():
            await asyncio.sleep(0.005)


def caught_up(*instances: LogCounters) -> bool:
    return all(counters.status().caught_up for counters in instances)


def log_time_s(counters: LogCounters) -> float:
    return (counters.status().log_time_ms or 0) / 1_000


async def test_a_starter_waits_for_one_that_is_there_however_slow_it_is(cluster: Cluster) -> None:
    slow = PresentStore(cluster.memory, cluster.there)
    one = await cluster.start("one", slow)
    await eventually(lambda: caught_up(one))
    one.attempt(ALICE).commit()
    await eventually(lambda: one.status().pending == 0)
    slow.flowing.clear()

    two = await cluster.start("two", skew_s=HOURS_3_S)
    await eventually(lambda: "waits for one" in str(two.status().time_unknown))
    with pytest.raises(CountersUnavailable, match="waits for one"):
        await two.attempt_strict(ALICE, deadline_s=5)
    slow.flowing.set()
    await eventually(lambda: caught_up(two))

    assert abs(log_time_s(two) - time.time()) < 5
    assert two.status().time_unknown is None
    assert two.peek(ALICE)[0][0].value == 1


async def test_while_it_cannot_be_told_who_is_there_nobody_is_given_up(cluster: Cluster) -> None:
    one = await cluster.start("one")
    await eventually(lambda: caught_up(one))
    await one.stop()
    store = PresentStore(cluster.memory, cluster.there)
    store.away = True

    two = await cluster.start("two", store)
    asked = cluster.memory.keyspace.revision
    await eventually(lambda: cluster.memory.keyspace.revision > asked + 2)
    assert not caught_up(two)

    store.away = False
    cluster.there.discard("one")
    await eventually(lambda: caught_up(two))


async def test_starters_do_not_wait_for_each_other(cluster: Cluster) -> None:
    one = await cluster.start("one")
    await eventually(lambda: caught_up(one))
    await one.stop()
    cluster.there.clear()

    starters = [await cluster.start(name) for name in ("two", "three", "four")]

    await eventually(lambda: caught_up(*starters))


async def test_a_store_that_cannot_tell_is_asked_three_times(cluster: Cluster) -> None:
    one = await cluster.start("one", SharedStore(cluster.memory))
    await eventually(lambda: caught_up(one))
    await one.stop()

    two = await cluster.start("two", SharedStore(cluster.memory))

    await eventually(lambda: "instances that may be there" in str(two.status().time_unknown))
    await eventually(lambda: caught_up(two))


async def test_an_instance_whose_clock_is_off_is_told_so(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await cluster.start("one"), await cluster.start("two")
    bad = await cluster.start("bad", skew_s=10)
    everybody = (one, two, bad)
    await eventually(lambda: caught_up(*everybody))
    for counters in everybody:
        counters.attempt(ALICE).commit()

    await eventually(lambda: bad.status().clock_warning is not None)

    assert one.status().clock_warning is None
    assert abs(bad.status().clock_off_ms - 10_000) < 250
    assert caught_up(*everybody)
    assert sum("ahead of" in r.message for r in caplog.records) == 1
