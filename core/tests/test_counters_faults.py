"""Counting through a store that fails in every way its contract allows. Faults come from a seed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, suppress

import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import (
    Compacted,
    Conflict,
    CountersUnavailable,
    OutcomeUnknown,
    Unavailable,
)
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import (
    CounterKey,
    CounterRead,
    Entry,
    Instance,
    Listing,
    WatchUpdate,
    Window,
)
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

PREFIX = b"/test/counters/"
LIMIT = 5
LOGGER = logging.getLogger(__name__)
ALICE = [CounterRead(CounterKey("reads", ("alice",)), (Window.parse("last_hour"),))]
SEEDS = range(6)


class FaultyStore(MemoryStateStore):
    """The memory store behind a connection that fails as `random` says while `failing`.

    Attributes:
        away: Whether nothing is answered at all.
        skip: Key of which the watch loses one change, which no store may do.
    """

    def __init__(self, memory: MemoryStore, seed: int) -> None:
        super().__init__(memory, LOGGER)
        self._random = random.Random(seed)
        self._late: set[asyncio.Task[None]] = set()
        self.failing = self.away = False
        self.compacts = False
        self.skip = b""

    async def get(self, key: bytes) -> Entry | None:
        await self._request()
        return await super().get(key)

    async def list(self, prefix: bytes) -> Listing:
        await self._request()
        return await super().list(prefix)

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> int:
        await self._request()
        fault = self._random.random() if self.failing else 1.0
        if fault < 0.15:
            raise OutcomeUnknown("lost before it was applied")
        if fault < 0.3:
            late = asyncio.create_task(self._put_late(key, value, if_revision))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            raise OutcomeUnknown("perhaps it is applied later")
        revision = await super().put(key, value, if_revision=if_revision, ttl=ttl)
        if fault < 0.5:
            raise OutcomeUnknown("applied, but the answer was lost")
        return revision

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                while self.away:
                    await asyncio.sleep(0.001)
                if self.compacts and self._random.random() < 0.2:
                    raise Compacted("history is gone", oldest=update.revision + 1)
                if self.skip and any(event.key == self.skip for event in update.events):
                    self.skip = b""
                    continue
                yield update
                if self.failing and update.events and self._random.random() < 0.3:
                    yield update

    async def _request(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)
        if self.away or (self.failing and self._random.random() < 0.2):
            raise Unavailable("not connected")

    async def _put_late(self, key: bytes, value: bytes, if_revision: int | None) -> None:
        await asyncio.sleep(self._random.random() * 0.1)
        with suppress(Conflict):
            await super().put(key, value, if_revision=if_revision)


class Cluster:
    """Three instances, each with a faulty way to the same keys."""

    def __init__(self, seed: int) -> None:
        memory = MemoryStore(history=100_000)
        self.stores = [FaultyStore(memory, seed * 10 + number) for number in range(3)]
        self.instances = [
            LogCounters(
                LogCountersSettings(snapshot_interval_s=0.2),
                CountersContext(Instance(f"i{number}", "127.0.0.1"), store, PREFIX, LOGGER),
                jitter=random.Random(seed).random,
            )
            for number, store in enumerate(self.stores)
        ]

    async def start(self, stack: AsyncExitStack) -> None:
        for store, counters in zip(self.stores, self.instances, strict=True):
            await store.start()
            await counters.start()
            stack.push_async_callback(counters.stop)
        await self.caught_up()

    async def caught_up(self) -> None:
        await eventually(lambda: all(c.status().caught_up for c in self.instances))

    def set(self, **faults: bool) -> None:
        for store in self.stores:
            for name, value in faults.items():
                setattr(store, name, value)

    def values(self) -> list[int]:
        return [counters.peek(ALICE)[0][0].value for counters in self.instances]


@pytest.fixture(params=SEEDS, ids=lambda seed: f"seed{seed}")
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        cluster = Cluster(request.param)
        await cluster.start(stack)
        yield cluster


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not check():
            await asyncio.sleep(0.005)


async def strict(counters: LogCounters, deadline_s: float) -> bool:
    try:
        attempt = await counters.attempt_strict(ALICE, deadline_s=deadline_s)
    except CountersUnavailable:
        return False
    if attempt.counts[0][0].value >= LIMIT:
        attempt.cancel()
        return False
    attempt.commit()
    return True


async def hit_strictly(cluster: Cluster, deadline_s: float = 0.2) -> int:
    """Rounds of concurrent strict hits through all instances; how many were permitted."""
    permitted = 0
    for _ in range(6):
        hits = [strict(counters, deadline_s) for counters in cluster.instances * 4]
        permitted += sum(await asyncio.gather(*hits))
    return permitted


async def test_every_permitted_eventual_hit_is_counted_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.set(failing=True)
    for number in range(300):
        attempt = cluster.instances[number % 3].attempt(ALICE)
        attempt.cancel() if number % 10 == 9 else attempt.commit()
        if number % 7 == 0:
            await asyncio.sleep(0.001)
    cluster.set(failing=False)

    await eventually(lambda: cluster.values() == [270, 270, 270])
    await eventually(lambda: all(c.status().pending == 0 for c in cluster.instances))
    assert "starting over" not in caplog.text


async def test_strict_hits_never_overshoot_and_denied_ones_are_taken_back(
    cluster: Cluster,
) -> None:
    cluster.set(failing=True)
    permitted = await hit_strictly(cluster)
    cluster.set(failing=False)

    assert permitted <= LIMIT
    await eventually(lambda: cluster.values() == [permitted] * 3)
    permitted += await hit_strictly(cluster, deadline_s=50)
    assert permitted == LIMIT


async def test_an_instance_that_loses_its_history_neither_overshoots_nor_loses_hits(
    cluster: Cluster,
) -> None:
    """The others have not lost it, so they make a snapshot that it can go on from."""
    faulty = cluster.stores[0]
    faulty.failing = faulty.compacts = True
    permitted = await hit_strictly(cluster)
    faulty.failing = faulty.compacts = False
    await cluster.caught_up()

    assert permitted <= LIMIT
    await eventually(lambda: cluster.values() == [permitted] * 3)


async def test_while_the_store_is_away_counting_goes_on_and_is_caught_up_on(
    cluster: Cluster,
) -> None:
    one, two, _ = cluster.instances
    cluster.set(away=True)
    for _ in range(20):
        one.attempt(ALICE).commit()
    assert one.peek(ALICE)[0][0].value == 20
    assert two.peek(ALICE)[0][0].value == 0
    for _ in range(4):  # also those behind others that were given up
        with pytest.raises(CountersUnavailable, match="did not confirm"):
            await two.attempt_strict(ALICE, deadline_s=0.05)
    cluster.set(away=False)

    await eventually(lambda: cluster.values() == [20, 20, 20])


async def test_a_record_lost_by_the_watch_is_noticed_and_read_again(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one = cluster.instances[0]
    one.attempt(ALICE).commit()
    await eventually(lambda: cluster.values() == [1, 1, 1])
    cluster.stores[1].skip = PREFIX + b"log/0/i0"
    one.attempt(ALICE).commit()
    await eventually(lambda: not cluster.stores[1].skip)

    one.attempt(ALICE).commit()

    await eventually(lambda: cluster.values() == [3, 3, 3])
    await cluster.caught_up()
    assert any("records were missed" in getattr(r, "error", "") for r in caplog.records)
