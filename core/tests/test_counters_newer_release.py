"""One log, two releases: what the older one does when the newer one has raised the format."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.keys import Keys
from formal_cluster.counters.records import VERSION, Batch, decode, encode
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import CounterKey, CounterRead, Instance, Window
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

READ = CounterRead(CounterKey("bucket.access_count", ("alice", "b")), (Window.parse("last_hour"),))
PREFIX = b"/c/"
LATER = Batch(version=VERSION + 1, epoch=1, seq=1, proposed=0, wall=0)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


class Older:
    """An instance of this release that counts, and the store that it shares."""

    def __init__(self) -> None:
        logger = logging.getLogger("test")
        self.store = MemoryStateStore(MemoryStore(), logger)
        context = CountersContext(Instance("older", "127.0.0.1"), self.store, PREFIX, logger)
        self.counters = LogCounters(LogCountersSettings(), context)

    async def newer_writes(self, batch: Batch) -> None:
        await self.store.put(Keys(PREFIX).writer("newer"), encode(batch))


@pytest.fixture
async def older() -> AsyncIterator[Older]:
    made = Older()
    await made.store.start()
    await made.counters.start()
    try:
        await eventually(lambda: made.counters.status().caught_up)
        yield made
    finally:
        await made.counters.stop()
        await made.store.stop()


async def test_it_goes_on_with_its_own_counts_and_says_why_it_is_behind(older, caplog):
    older.counters.hit(READ)
    await older.newer_writes(LATER)
    await eventually(lambda: not older.counters.status().caught_up)

    with pytest.raises(CountersUnavailable):
        await older.counters.attempt_strict([READ], deadline_s=1)
    older.counters.hit(READ)
    [[count]] = older.counters.peek([READ])

    assert 2 == count.value
    await eventually(lambda: "upgrade it" in str([vars(record) for record in caplog.records]))


def test_fields_that_a_newer_release_appends_are_ignored() -> None:
    batch = Batch(epoch=1, seq=1, proposed=0, wall=0, keys=[READ.key], hits=[(0, 1, 0)])
    fields = msgspec.msgpack.decode(encode(batch))
    assert batch == decode(msgspec.msgpack.encode([*fields, {"of": "tomorrow"}]))
