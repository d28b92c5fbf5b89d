"""History, time to live and large listings, on a real Redis."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from formal_cluster.errors import Compacted, Conflict
from formal_cluster.model import EventKind, WatchUpdate
from formal_cluster_store_redis_test.layout import Layout

pytestmark = pytest.mark.redis


async def events_until(watch, key):
    events = []
    while not any(event.key == key for event in events):
        events += (await anext(watch)).events
    return events


# ── history ──────────────────────────────────────────────────────────────────────────────────


async def test_history_keeps_exactly_the_configured_number_of_changes(redis_shared, open_store):
    store = await open_store(redis_shared, history_changes=3)
    revisions = [await store.put(b"k", bytes([n])) for n in range(5)]

    async with aclosing(store.watch(b"", from_revision=revisions[2])) as watch:
        assert revisions[2:] == [event.revision for event in (await anext(watch)).events]
    async with aclosing(store.watch(b"", from_revision=revisions[1])) as watch:
        with pytest.raises(Compacted) as raised:
            await anext(watch)
    assert revisions[2] == raised.value.oldest


async def test_history_is_forgotten_with_age(redis_shared, open_store, eventually):
    store = await open_store(redis_shared, history_s=0.3)
    revision = await store.put(b"k", b"v")

    async def is_forgotten():
        async with aclosing(store.watch(b"", from_revision=revision)) as watch:
            try:
                await anext(watch)
            except Compacted as compacted:
                return compacted.oldest
        return None

    assert revision + 1 == await eventually(is_forgotten)
    assert revision == (await store.get(b"k")).revision
    later = await store.put(b"k", b"w")
    async with aclosing(store.watch(b"", from_revision=revision + 1)) as watch:
        assert [later] == [event.revision for event in (await anext(watch)).events]


async def test_a_watcher_that_is_too_slow_is_told_instead_of_skipping(redis_shared, open_store):
    store = await open_store(redis_shared, history_changes=3)
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        for n in range(6):
            await store.put(b"k", bytes([n]))
        with pytest.raises(Compacted):
            await events_until(watch, b"nothing")


async def test_a_watcher_of_a_quiet_prefix_is_told_how_far_it_is(redis_shared, open_store):
    store = await open_store(redis_shared)
    async with aclosing(store.watch(b"/quiet/")) as watch:
        await anext(watch)
        for n in range(4):
            revision = await store.put(b"/busy", bytes([n]))
            update = await anext(watch)
            assert ((), revision) == (update.events, update.revision)


async def test_a_long_history_comes_in_order_and_whole(redis_shared, open_store):
    store = await open_store(redis_shared)
    first = await store.put(b"k", b"")
    for batch in range(10):
        await asyncio.gather(*(store.put(b"k", b"%d" % batch) for _ in range(50)))
    last = await store.put(b"end", b"")
    async with aclosing(store.watch(b"", from_revision=first)) as watch:
        events = await events_until(watch, b"end")
    assert list(range(first, last + 1)) == [event.revision for event in events]


@pytest.mark.slow
async def test_an_idle_watch_says_again_and_again_that_it_is_current(redis_shared, open_store):
    store = await open_store(redis_shared)
    revision = await store.put(b"k", b"v")
    began = time.monotonic()
    async with aclosing(store.watch(b"")) as watch:
        updates = [await anext(watch) for _ in range(3)]

    assert [WatchUpdate((), revision)] * 3 == updates
    assert time.monotonic() - began > 1.5, "and not all the time"


# ── time to live ─────────────────────────────────────────────────────────────────────────────


async def test_a_key_vanishes_once_for_everybody_and_not_before_its_time(redis_shared, open_store):
    stores = [await open_store(redis_shared, key_prefix="ttl:") for _ in range(3)]
    async with aclosing(stores[0].watch(b"")) as watch:
        await anext(watch)
        began = time.monotonic()
        revision = await stores[1].put(b"k", b"v", ttl=0.3)
        while await stores[2].get(b"k") is not None:
            assert time.monotonic() - began < 50
        assert time.monotonic() - began >= 0.3
        await stores[2].put(b"end", b"")
        events = await events_until(watch, b"end")

    expected = [
        (EventKind.PUT, b"k", revision),
        (EventKind.DELETE, b"k", revision + 1),
        (EventKind.PUT, b"end", revision + 2),
    ]
    assert expected == [(event.kind, event.key, event.revision) for event in events]


async def test_a_key_vanishes_though_whoever_wrote_it_is_gone(redis_shared, open_store):
    writer = await open_store(redis_shared, key_prefix="gone:")
    reader = await open_store(redis_shared, key_prefix="gone:")
    async with aclosing(reader.watch(b"")) as watch:
        await anext(watch)
        await writer.put(b"k", b"v", ttl=0.4)
        await writer.stop()
        events = []
        async with asyncio.timeout(50):
            while len(events) < 2:
                events += (await anext(watch)).events
    assert [EventKind.PUT, EventKind.DELETE] == [event.kind for event in events]


async def test_a_key_that_ran_out_is_gone_for_a_write_though_many_others_wait(
    redis_shared, open_store
):
    store = await open_store(redis_shared, timeout_s=50)
    revision = 0
    for n in range(500):
        revision = await store.put(b"%03d" % n, b"", ttl=1.0)
    with redis_shared.client() as client:
        client.client_pause(1_500, all=True)  # nobody sweeps meanwhile
    with pytest.raises(Conflict):
        await store.put(b"499", b"", if_revision=revision)
    assert () == (await store.list(b"")).entries


async def test_many_keys_that_run_out_together_each_have_their_event(redis_shared, open_store):
    store = await open_store(redis_shared)
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        await asyncio.gather(*(store.put(b"%03d" % n, b"", ttl=1.0) for n in range(500)))
        deleted = []
        async with asyncio.timeout(50):
            while len(deleted) < 500:
                events = (await anext(watch)).events
                deleted += [event.key for event in events if event.kind is EventKind.DELETE]
    assert [b"%03d" % n for n in range(500)] == sorted(deleted)
    assert () == (await store.list(b"")).entries


# ── large ────────────────────────────────────────────────────────────────────────────────────


async def test_large_values_are_kept_and_listed(redis_shared, open_store):
    store = await open_store(redis_shared, timeout_s=50)
    values = {b"%d" % n: bytes([n]) * (3 << 20) for n in range(4)}
    for key, value in values.items():
        await store.put(key, value)
    assert values == {entry.key: entry.value for entry in (await store.list(b"")).entries}


async def test_a_listing_of_many_pages_is_of_one_revision_while_keys_change(
    redis_shared, open_store
):
    store = await open_store(redis_shared)
    keys = [b"%04d" % n for n in range(1_200)]
    for start in range(0, 1_200, 100):
        await asyncio.gather(*(store.put(key, b"0") for key in keys[start : start + 100]))
    stopped = asyncio.Event()

    async def move():
        """The first key that exists is always deleted right after the last one has been written,
        so that at every revision there are as many keys as before, or one more."""
        number = 0
        while not stopped.is_set():
            await store.put(b"%04d" % (number + 1_200), b"0")
            await store.delete(b"%04d" % number)
            number += 1

    moving = asyncio.ensure_future(move())
    listings = [await store.list(b"") for _ in range(6)]
    stopped.set()
    await moving

    for listing in listings:
        assert len(listing.entries) in (1_200, 1_201)
        numbers = [int(entry.key) for entry in listing.entries]
        assert list(range(numbers[0], numbers[0] + len(numbers))) == numbers
        assert all(entry.revision <= listing.revision for entry in listing.entries)


async def test_what_is_deleted_leaves_nothing_behind(redis_shared, open_store):
    store = await open_store(redis_shared, history_changes=1, key_prefix="tidy:")
    for n in range(20):
        await store.put(b"%d" % n, b"v", ttl=60)
        await store.delete(b"%d" % n)
    with redis_shared.client() as client:
        left = {key for key in Layout("tidy:").keys if client.exists(key)}
        assert {b"tidy:meta", b"tidy:log", b"tidy:ages"} >= left
        assert client.xlen(b"tidy:log") == 1
