"""What only the memory store does. That it does what every store does, the conformance suite tries
(`tests/conformance/tests/test_conformance_memory.py`)."""

import asyncio
import logging
from contextlib import aclosing

import pytest

from formal_cluster import store_memory
from formal_cluster.errors import Compacted, Unavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import (
    Capability,
    Event,
    EventKind,
    Instance,
    View,
    WatchUpdate,
)
from formal_cluster.protocols import StateStore
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

ME = Instance("a", "127.0.0.1")
LOGGER = logging.getLogger("test.store")


class Alone:
    """Discovery of a process without peers."""

    async def identify(self):
        return ME

    async def discover(self):
        return View((ME,))

    async def watch(self):
        yield View((ME,))
        await asyncio.Event().wait()

    async def aclose(self):
        pass


def memory_store(**table) -> StateStore:
    settings = store_memory.store_settings().model_validate(table)
    return store_memory.create_store(settings, StoreContext(ME, Alone(), LOGGER))


async def read_to(watch, revision):
    """Every event of `watch` up to `revision`; fails if an update goes back."""
    events, reached = [], -1
    while reached < revision:
        update = await anext(watch)
        assert reached <= update.revision
        events += update.events
        reached = update.revision
    return events


@pytest.mark.parametrize("ttl", [0, -1.0])
async def test_a_ttl_that_is_over_before_it_begins_is_refused(ttl):
    store = memory_store()
    await store.start()

    with pytest.raises(ValueError, match="ttl must be more than 0"):
        await store.put(b"k", b"v", ttl=ttl)

    await store.stop()


async def test_before_its_start_it_refuses_calls_and_watches_wait():
    store = memory_store()
    with pytest.raises(Unavailable, match="starting"):
        await store.put(b"k", b"v")
    async with aclosing(store.watch(b"")) as watch:
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.wait([waiting], timeout=0.02)
        assert not waiting.done()

        await store.start()

        expected = ()
        assert expected == (await waiting).events


def test_it_claims_neither_to_be_shared_nor_to_survive_anything():
    never = {
        Capability.SHARED,
        Capability.SURVIVES_RESTART,
        Capability.SURVIVES_MINORITY_LOSS,
    }

    assert set(Capability) - never == memory_store().capabilities


async def test_two_stores_in_one_process_do_not_share_keys():
    one, other = memory_store(), memory_store()
    await one.start()
    await other.start()

    await one.put(b"k", b"v")

    assert await other.get(b"k") is None


async def test_drivers_on_one_memory_store_share_keys_and_stop_apart():
    shared = MemoryStore()
    one, other = MemoryStateStore(shared, LOGGER), MemoryStateStore(shared, LOGGER)
    await one.start()
    await other.start()
    async with aclosing(other.watch(b"")) as watch:
        await anext(watch)
        revision = await one.put(b"k", b"v")
        await one.stop()

        expected = [Event(EventKind.PUT, b"k", b"v", revision)]
        assert expected == await read_to(watch, revision)
    assert await other.get(b"k") is not None


async def test_history_keeps_exactly_the_configured_number_of_changes():
    store = memory_store(history=3)
    await store.start()
    revisions = [await store.put(b"k", bytes([n])) for n in range(5)]

    async with aclosing(store.watch(b"", from_revision=revisions[2])) as watch:
        expected = revisions[2:]
        assert expected == [event.revision for event in await read_to(watch, revisions[-1])]
    async with aclosing(store.watch(b"", from_revision=revisions[1])) as watch:
        with pytest.raises(Compacted) as raised:
            await anext(watch)
    assert revisions[2] == raised.value.oldest


async def test_a_watcher_that_is_too_slow_is_told_instead_of_skipping():
    store = memory_store(history=3)
    await store.start()
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        for n in range(4):
            await store.put(b"k", bytes([n]))

        with pytest.raises(Compacted):
            await anext(watch)


async def test_a_watcher_of_a_quiet_prefix_is_told_how_far_it_is():
    store = memory_store(history=1)
    await store.start()
    async with aclosing(store.watch(b"/quiet/")) as watch:
        await anext(watch)
        for n in range(4):
            revision = await store.put(b"/busy", bytes([n]))
            update = await anext(watch)

            assert ((), revision) == (update.events, update.revision)


@pytest.mark.slow
async def test_an_idle_watch_says_again_and_again_that_it_is_current():
    store = memory_store()
    await store.start()
    revision = await store.put(b"k", b"v")
    async with aclosing(store.watch(b"")) as watch, asyncio.timeout(50):
        updates = [await anext(watch) for _ in range(3)]

    assert [WatchUpdate((), revision)] * 3 == updates


async def test_a_cancelled_put_is_not_applied():
    store = memory_store()
    await store.start()
    writing = asyncio.ensure_future(store.put(b"k", b"v"))
    await asyncio.sleep(0)

    writing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await store.get(b"k") is None


async def test_a_loop_over_calls_lets_others_run():
    store = memory_store()
    await store.start()
    others_ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(others_ran.set)

    await store.get(b"k")

    assert others_ran.is_set()


async def test_starting_it_warns_that_nobody_else_sees_its_keys(caplog):
    await memory_store().start()

    assert ["WARNING"] == [record.levelname for record in caplog.records]
