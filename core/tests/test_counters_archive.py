"""Snapshots in a store: others may replace or abandon them at any moment."""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from formal_cluster.counters.archive import Archive
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.frozen import freeze, thaw
from formal_cluster.counters.keys import Keys
from formal_cluster.counters.packing import shard_of
from formal_cluster.counters.records import Batch, MalformedRecord, Row
from formal_cluster.counters.snapshot import VERSION, Head
from formal_cluster.counters.windows import HitsData
from formal_cluster.model import CounterKey, Entry
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

KEYS = Keys(b"/test/")
START = 1_700_000_000_000
SUBJECTS = [CounterKey("reads", (str(number),)) for number in range(20_000)]


class InterruptedStore(MemoryStateStore):
    """Something happens right after the snapshot's head was read."""

    then: Callable[[], Awaitable[object]] | None = None

    async def get(self, key: bytes) -> Entry | None:
        entry = await super().get(key)
        if key == KEYS.head and self.then is not None:
            then, self.then = self.then, None
            await then()
        return entry


@pytest.fixture
async def store() -> AsyncIterator[InterruptedStore]:
    store = InterruptedStore(MemoryStore(), logging.getLogger(__name__))
    await store.start()
    yield store
    await store.stop()


def empty() -> State:
    return State(exact_entries=64, max_subjects=100_000)


def state(subjects: list[CounterKey]) -> State:
    """Each subject has a hit."""
    folded = empty()
    hits = [(number, 1, 0) for number in range(len(subjects))]
    batch = Batch(epoch=1, seq=1, proposed=START, wall=START, keys=subjects, hits=hits)
    folded.apply(Record("x", batch, 1))
    return folded


async def save(archive: Archive, of: State) -> bool:
    head, revision = await archive.head()
    frozen = freeze(of)
    try:
        return await archive.save(frozen, head, revision)
    finally:
        thaw(of)


async def keys(store: MemoryStateStore) -> list[bytes]:
    return [entry.key for entry in (await store.list(b"/test/")).entries]


async def test_a_joiner_has_every_subject(store: InterruptedStore) -> None:
    archive = Archive(store, KEYS)
    assert await save(archive, state(SUBJECTS))

    joined = await archive.load(empty)

    assert len(joined.subjects) == len(SUBJECTS)
    for key in SUBJECTS:
        hits = joined.find(key)
        assert hits is not None
        assert hits.data(0).lasts == [START]


async def test_a_joiner_overtaken_by_a_new_snapshot_reads_that_one(store: InterruptedStore) -> None:
    archive = Archive(store, KEYS)
    assert await save(archive, state(SUBJECTS))
    other = Archive(store, KEYS)
    store.then = lambda: save(other, state(SUBJECTS[:7]))

    joined = await archive.load(empty)

    assert len(joined.subjects) == 7


async def test_a_snapshot_with_a_chunk_missing_is_refused(store: InterruptedStore) -> None:
    archive = Archive(store, KEYS)
    assert await save(archive, state(SUBJECTS))
    chunks = await store.list(KEYS.snapshots)
    await store.delete(chunks.entries[0].key)

    with pytest.raises(MalformedRecord, match=r"chunk 0 .* is missing"):
        await archive.load(empty)


async def test_who_is_too_late_leaves_nothing_behind(store: InterruptedStore) -> None:
    archive, late = Archive(store, KEYS), Archive(store, KEYS)
    head, revision = await late.head()
    assert await save(archive, state(SUBJECTS))
    left = await keys(store)
    frozen = freeze(state(SUBJECTS[:9]))

    assert not await late.save(frozen, head, revision)
    assert left == await keys(store)


async def test_what_a_new_snapshot_replaces_is_deleted(store: InterruptedStore) -> None:
    archive = Archive(store, KEYS)
    for _ in range(3):
        assert await save(archive, state(SUBJECTS))
        head, _ = await archive.head()
        assert head is not None
        expected = [KEYS.chunk(head.id, number) for number in range(head.chunks)]
        assert {*expected, KEYS.head, KEYS.mark(head.id)} == set(await keys(store))


def old_head(version: int) -> Head:
    """As an earlier release wrote it, of one chunk."""
    return Head(
        version=version,
        id="1-a",
        chunks=1,
        revision=9,
        log_time=START,
        wall=START,
        writers={},
        windows={},
    )


async def test_a_snapshot_of_version_1_is_read(store: InterruptedStore) -> None:
    head = old_head(1)
    rows = [
        Row("reads", ("alice",), [30_000], [25_000, 100], [4, 2]),
        Row("reads", None, [], [7], [3]),
    ]
    await store.put(KEYS.chunk("1-a", 0), msgspec.msgpack.encode(rows))
    await store.put(KEYS.head, msgspec.msgpack.encode(head))
    archive = Archive(store, KEYS)

    joined = await archive.load(empty)

    hits = joined.find(CounterKey("reads", ("alice",)))
    assert hits is not None
    assert ([START - 25_000, START - 100], 6) == (hits.data(0).lasts, hits.count(0))
    anybody = joined.find(CounterKey("reads", ("bob",)))
    assert anybody is not None
    assert anybody.count(0) == 3
    assert await save(archive, joined)
    again = (await archive.load(empty)).find(CounterKey("reads", ("bob",)))
    assert again is not None
    assert again.count(0) == 3


async def test_a_snapshot_of_version_2_is_read(store: InterruptedStore) -> None:
    head = old_head(2)
    alice, bob = msgspec.msgpack.encode(("alice",)), msgspec.msgpack.encode(("bob",))
    begin = (START + (1 << 52)).to_bytes(8, "big")
    ones = begin + b"\0" + msgspec.msgpack.encode([300, 7, 0])
    spans = begin + b"\1" + msgspec.msgpack.encode([[100, 0], [4, 2], [900]])
    pieces = [(False, "reads", shard_of(alice), [alice], [ones])]
    pieces += [(False, "reads", shard_of(bob), [bob], [spans])]
    await store.put(KEYS.chunk("1-a", 0), zlib.compress(msgspec.msgpack.encode(pieces)))
    await store.put(KEYS.head, msgspec.msgpack.encode(head))
    archive = Archive(store, KEYS)

    joined = await archive.load(empty)
    assert await save(archive, joined)
    for each in (joined, await archive.load(empty)):
        records = [each.find(CounterKey("reads", (name,))) for name in ("alice", "bob")]
        assert [
            HitsData([], [START - 300, START - 7, START], [1, 1, 1]),
            HitsData([START - 900], [START - 100, START], [4, 2]),
        ] == [record.data(0) for record in records if record is not None]


async def test_a_snapshot_of_a_later_version_is_refused(store: InterruptedStore) -> None:
    head = Head(
        version=VERSION + 1,
        id="1-a",
        chunks=0,
        revision=9,
        log_time=0,
        wall=0,
        writers={},
        windows={},
    )
    await store.put(KEYS.head, msgspec.msgpack.encode(head))

    with pytest.raises(MalformedRecord, match="upgrade it"):
        await Archive(store, KEYS).load(empty)


async def test_a_damaged_chunk_is_refused(store: InterruptedStore) -> None:
    archive = Archive(store, KEYS)
    assert await save(archive, state(SUBJECTS[:3]))
    head, _ = await archive.head()
    assert head is not None
    await store.put(KEYS.chunk(head.id, 0), b"nonsense")

    with pytest.raises(MalformedRecord, match="cannot be read"):
        await archive.load(empty)
