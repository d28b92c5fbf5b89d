"""What a state store does, by example. Most tests take any store that `open_store` opens."""

import asyncio
import logging
from contextlib import aclosing

import pytest

from formal_cluster import store_memory
from formal_cluster.errors import Compacted, Conflict, Unavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import (
    Capability,
    Entry,
    Event,
    EventKind,
    Instance,
    Listing,
    StoreState,
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


@pytest.fixture(params=[memory_store], ids=["memory"])
async def store(request):
    store = request.param()
    await store.start()
    yield store
    await store.stop()


async def read_to(watch, revision):
    """Every event of `watch` up to `revision`; fails if an update goes back."""
    events, reached = [], -1
    while reached < revision:
        update = await anext(watch)
        assert reached <= update.revision
        events += update.events
        reached = update.revision
    return events


async def until_deleted(watch, key):
    """Read `watch` until `key` is deleted; the deletion."""
    while True:
        for event in (await anext(watch)).events:
            if event.kind is EventKind.DELETE and event.key == key:
                return event


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_was_never_written_does_not_exist(store):
    assert await store.get(b"k") is None


async def test_a_written_key_is_read_back_with_its_revision(store):
    revision = await store.put(b"k", b"v")

    expected = Entry(b"k", b"v", revision)
    assert expected == await store.get(b"k")


async def test_every_change_gets_a_larger_revision(store):
    revisions = [
        await store.put(b"k", b"1"),
        await store.put(b"other", b"1"),
        await store.put(b"k", b"2"),
        await store.delete(b"k"),
        await store.put(b"k", b"3"),
    ]

    assert sorted(set(revisions)) == revisions
    assert revisions[0] > 0


async def test_values_may_be_empty_and_hold_any_byte(store):
    value = bytes(range(256))
    await store.put(value, value)
    await store.put(b"empty", b"")

    assert value == (await store.get(value)).value
    expected = b""
    assert expected == (await store.get(b"empty")).value


async def test_a_listing_has_all_keys_below_the_prefix_sorted(store):
    b = await store.put(b"/x/b", b"1")
    a = await store.put(b"/x/a", b"2")
    last = await store.put(b"/y", b"3")

    expected = Listing((Entry(b"/x/a", b"2", a), Entry(b"/x/b", b"1", b)), last)
    assert expected == await store.list(b"/x/")


async def test_the_empty_prefix_lists_everything(store):
    await store.put(b"\xff", b"1")
    await store.put(b"\x00", b"2")

    expected = [b"\x00", b"\xff"]
    assert expected == [entry.key for entry in (await store.list(b"")).entries]


async def test_a_deleted_key_is_gone(store):
    put = await store.put(b"k", b"v")

    deleted = await store.delete(b"k")

    assert put < deleted
    assert await store.get(b"k") is None


async def test_deleting_what_does_not_exist_changes_nothing(store):
    before = await store.put(b"k", b"v")

    assert await store.delete(b"other") is None
    assert before == (await store.list(b"")).revision


# ── compare and swap ─────────────────────────────────────────────────────────────────────────


async def test_revision_zero_creates_a_key_only_once(store):
    first = await store.put(b"k", b"1", if_revision=0)

    with pytest.raises(Conflict) as raised:
        await store.put(b"k", b"2", if_revision=0)

    assert first == raised.value.actual
    expected = Entry(b"k", b"1", first)
    assert expected == await store.get(b"k")


async def test_a_put_at_the_keys_revision_succeeds_and_at_any_other_conflicts(store):
    first = await store.put(b"k", b"1")
    second = await store.put(b"k", b"2", if_revision=first)

    with pytest.raises(Conflict) as raised:
        await store.put(b"k", b"3", if_revision=first)

    assert second == raised.value.actual
    expected = Entry(b"k", b"2", second)
    assert expected == await store.get(b"k")


async def test_a_put_that_expects_a_key_conflicts_when_there_is_none(store):
    with pytest.raises(Conflict) as raised:
        await store.put(b"k", b"1", if_revision=1)

    expected = 0
    assert expected == raised.value.actual
    assert await store.get(b"k") is None


async def test_a_delete_at_another_revision_conflicts_and_deletes_nothing(store):
    first = await store.put(b"k", b"1")
    second = await store.put(b"k", b"2")

    with pytest.raises(Conflict) as raised:
        await store.delete(b"k", if_revision=first)

    assert second == raised.value.actual
    assert await store.get(b"k") is not None
    assert await store.delete(b"k", if_revision=second) is not None


async def test_of_many_that_create_one_key_exactly_one_succeeds(store):
    outcomes = await asyncio.gather(
        *(store.put(b"k", bytes([n]), if_revision=0) for n in range(20)), return_exceptions=True
    )

    won = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, int)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(outcomes) == len(won) + len(lost)
    assert bytes(won) == (await store.get(b"k")).value


# ── time to live ─────────────────────────────────────────────────────────────────────────────


async def test_a_key_with_a_ttl_vanishes_with_a_delete_event(store):
    revision = await store.put(b"k", b"v", ttl=0.05)
    async with aclosing(store.watch(b"", from_revision=revision)) as watch:
        event = await until_deleted(watch, b"k")

    assert revision < event.revision
    assert await store.get(b"k") is None


async def test_a_key_that_ran_out_is_gone_even_if_nobody_watches(store):
    loop = asyncio.get_running_loop()
    written = loop.time()
    revision = await store.put(b"k", b"v", ttl=0.05)

    while await store.get(b"k") is not None:
        pass

    assert loop.time() - written >= 0.05
    with pytest.raises(Conflict):
        await store.put(b"k", b"v", if_revision=revision)


@pytest.mark.parametrize("ttl", [None, 60.0])
async def test_writing_a_key_again_replaces_its_ttl(store, ttl):
    await store.put(b"k", b"1", ttl=0.05)
    revision = await store.put(b"k", b"2", ttl=ttl)
    await store.put(b"later", b"", ttl=0.1)
    async with aclosing(store.watch(b"", from_revision=revision)) as watch:
        await until_deleted(watch, b"later")

    expected = Entry(b"k", b"2", revision)
    assert expected == await store.get(b"k")


async def test_a_key_deleted_and_written_again_does_not_inherit_the_old_ttl(store):
    await store.put(b"k", b"1", ttl=0.05)
    await store.delete(b"k")
    revision = await store.put(b"k", b"2")
    await store.put(b"later", b"", ttl=0.1)
    async with aclosing(store.watch(b"", from_revision=revision)) as watch:
        await until_deleted(watch, b"later")

    assert await store.get(b"k") is not None


async def test_an_open_watch_learns_of_a_ttl_that_is_set_while_it_waits(store):
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        waiting = asyncio.ensure_future(until_deleted(watch, b"k"))
        await store.put(b"k", b"v", ttl=0.05)

        expected = b"k"
        assert expected == (await waiting).key


@pytest.mark.parametrize("ttl", [0, -1.0])
async def test_a_ttl_that_is_over_before_it_begins_is_refused(store, ttl):
    with pytest.raises(ValueError, match="ttl must be more than 0"):
        await store.put(b"k", b"v", ttl=ttl)


# ── watch ────────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_from_a_revision_sees_every_change_since_in_order(store):
    first = await store.put(b"k", b"1")
    second = await store.put(b"k", b"2")
    third = await store.delete(b"k")

    async with aclosing(store.watch(b"", from_revision=first)) as watch:
        events = await read_to(watch, third)

    expected = [
        Event(EventKind.PUT, b"k", b"1", first),
        Event(EventKind.PUT, b"k", b"2", second),
        Event(EventKind.DELETE, b"k", b"", third),
    ]
    assert expected == events


async def test_a_watch_from_now_on_sees_no_earlier_change(store):
    await store.put(b"k", b"1")
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        later = await store.put(b"k", b"2")

        expected = [Event(EventKind.PUT, b"k", b"2", later)]
        assert expected == await read_to(watch, later)


async def test_a_watch_sees_only_its_prefix(store):
    first = await store.put(b"/x/1", b"")
    await store.put(b"/y/1", b"")
    last = await store.put(b"/x/2", b"")

    async with aclosing(store.watch(b"/x/", from_revision=first)) as watch:
        events = await read_to(watch, last)

    expected = [b"/x/1", b"/x/2"]
    assert expected == [event.key for event in events]


async def test_a_watch_resumed_after_the_last_update_misses_and_repeats_nothing(store):
    first = await store.put(b"k", b"1")
    async with aclosing(store.watch(b"", from_revision=first)) as watch:
        seen_to = (await anext(watch)).revision
    second = await store.put(b"k", b"2")
    third = await store.put(b"k", b"3")

    async with aclosing(store.watch(b"", from_revision=seen_to + 1)) as watch:
        events = await read_to(watch, third)

    expected = [second, third]
    assert expected == [event.revision for event in events]


async def test_a_watch_from_a_listing_continues_it_without_a_gap(store):
    await store.put(b"k", b"1")
    listing = await store.list(b"")
    second = await store.put(b"k", b"2")

    async with aclosing(store.watch(b"", from_revision=listing.revision + 1)) as watch:
        expected = [second]
        assert expected == [event.revision for event in await read_to(watch, second)]


async def test_a_watch_from_a_revision_to_come_is_silent_until_then(store):
    now = await store.put(b"k", b"1")
    async with aclosing(store.watch(b"", from_revision=now + 3)) as watch:
        reading = asyncio.ensure_future(read_to(watch, now + 3))
        for n in range(2, 5):
            last = await store.put(b"k", bytes([n]))

        expected = [now + 3]
        assert expected == [event.revision for event in await reading]
        assert now + 3 == last


async def test_two_watches_do_not_disturb_each_other(store):
    async with aclosing(store.watch(b"")) as closed, aclosing(store.watch(b"")) as kept:
        await anext(closed)
        await anext(kept)
        await closed.aclose()
        revision = await store.put(b"k", b"1")

        expected = [revision]
        assert expected == [event.revision for event in await read_to(kept, revision)]


async def test_a_waiting_watch_can_be_cancelled(store):
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.wait([waiting], timeout=0.02)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
    await store.put(b"k", b"v")


async def test_a_conflict_is_no_change_that_a_watch_could_see(store):
    first = await store.put(b"k", b"1")
    with pytest.raises(Conflict):
        await store.put(b"k", b"2", if_revision=first + 1)
    last = await store.put(b"end", b"")

    async with aclosing(store.watch(b"", from_revision=first)) as watch:
        expected = [b"k", b"end"]
        assert expected == [event.key for event in await read_to(watch, last)]


# ── life ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_started_store_serves_and_says_so(store):
    revision = await store.put(b"k", b"v")

    status = store.status()

    assert StoreState.SERVING is status.state
    assert revision == status.revision
    assert status.last_error is None
    assert status.stale_ms is not None


async def test_a_stopped_store_refuses_everything_and_may_be_stopped_again(store):
    await store.stop()
    await store.stop()

    assert StoreState.STOPPED is store.status().state
    for call in (
        store.get(b"k"),
        store.list(b""),
        store.put(b"k", b"v"),
        store.delete(b"k"),
    ):
        with pytest.raises(Unavailable):
            await call


async def test_stopping_the_store_ends_its_watches(store):
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.wait([waiting], timeout=0.02)

        await store.stop()

        with pytest.raises(Unavailable):
            await waiting


# ── only the memory store ────────────────────────────────────────────────────────────────────


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
