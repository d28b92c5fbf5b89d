"""Rules: watching changes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from formal_cluster.errors import Compacted, Conflict
from formal_cluster.model import Capability, Event, EventKind, WatchUpdate
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.bed import (
    PATIENCE_S,
    Bed,
    changes,
    expect,
    first,
    holds,
    raises,
    read_to,
)
from formal_cluster_conformance.calls import named
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_NEEDS = [Capability.WATCH]
_HISTORY = [Capability.WATCH, Capability.WATCH_HISTORY]
_IDLE_S = 5.0


def _put(key: bytes, value: bytes, revision: int) -> Event:
    return Event(EventKind.PUT, key, value, revision)


@rule(
    "ST-WATCH-01",
    "A watch from a revision has every change from it on, in order, as it was.",
    needs=_HISTORY,
)
async def every_change(bed: Bed) -> None:
    """Put, put again, delete, put anew; values of any bytes."""
    store, key = await bed.store(), bed.key()
    before = await store.put(key, b"before")
    first_change = await store.put(key, b"\0\xff")
    second = await store.put(key, b"")
    third = await store.delete(key)
    fourth = await store.put(key, b"4")
    assert third is not None
    holds(before < first_change, "revisions do not grow")
    expected = [
        _put(key, b"\0\xff", first_change),
        _put(key, b"", second),
        Event(EventKind.DELETE, key, b"", third),
        _put(key, b"4", fourth),
    ]
    expect(expected, await changes(store, bed.prefix, first_change, fourth), "the changes")


@rule(
    "ST-WATCH-02",
    "A watch from now on says at once from where; it has every change after that, and none "
    "acknowledged before it was asked for, through whichever instance.",
    needs=_NEEDS,
)
async def from_now_on(bed: Bed) -> None:
    """Each instance in turn writes, another one watches at once."""
    drivers, key = await bed.many(), bed.key()
    for number in range(bed.size(6, 30)):
        writer, watcher = drivers[number % len(drivers)], drivers[(number + 1) % len(drivers)]
        before = await writer.put(key, b"before")
        async with aclosing(watcher.watch(bed.prefix)) as watch:
            beginning = await first(watch, "the first update")
            where = f"of a watch on instance {watcher.instance} from now on"
            expect((), beginning.events, f"the events of the first update {where}")
            holds(
                beginning.revision >= before,
                f"the first update {where} is at {beginning.revision}, before the change {before} "
                f"that instance {writer.instance} had acknowledged",
            )
            after = await writer.put(key, b"after")
            changed = await read_to(watch, after)
            expect([_put(key, b"after", after)], changed, f"the changes {where}")


@rule("ST-WATCH-03", "A watch has the changes below its prefix and no others.", needs=_HISTORY)
async def its_prefix(bed: Bed) -> None:
    """Keys before, after and between."""
    store = await bed.store()
    begin = await store.put(bed.key("x/1"), b"")
    for name in (b"w", b"x", b"x.", b"x0", b"x\xff", b"y/1"):
        await store.put(bed.key(name), b"")
    last = await store.put(bed.key("x/2"), b"")
    events = await changes(store, bed.key("x/"), begin, last)
    expect([bed.key("x/1"), bed.key("x/2")], [event.key for event in events], "the keys")


@rule(
    "ST-WATCH-04",
    "A watch resumed after any update misses nothing and repeats nothing.",
    needs=_HISTORY,
)
async def resumed(bed: Bed) -> None:
    """Again and again, while changes go on."""
    store = await bed.store()
    total = bed.size(60, 400)
    begin = await store.put(bed.key("begin"), b"")

    async def change() -> int:
        last = begin
        for number in range(total):
            last = await store.put(bed.key(str(number % 3)), b"%d" % number)
            if number % 3 == 0:
                await asyncio.sleep(0.01)  # so that one look does not have everything
        return last

    changing = asyncio.ensure_future(change())
    position, values, resumptions = begin + 1, list[int](), 0
    try:
        while len(values) < total:
            async with aclosing(store.watch(bed.prefix, from_revision=position)) as watch:
                for _ in range(bed.random.randrange(1, 3)):
                    update = await first(watch, f"resuming at {position}")
                    values += [int(event.value) for event in update.events]
                    position = max(position, update.revision + 1)
                    if len(values) >= total:
                        break
            resumptions += 1
    finally:
        last = await changing
    expect(list(range(total)), values, "the changes in the order in which they came")
    holds(position > last, f"the watch says that it is at {position - 1}, the last is {last}")
    bed.evidence.demand("resumptions", resumptions, 3)


@rule(
    "ST-WATCH-05",
    "A watch from the revision after a listing's continues it without a gap.",
    needs=_HISTORY,
)
async def from_a_listing(bed: Bed) -> None:
    """List, then watch, while changes go on: the two together are the last state."""
    store, *others = await bed.many()
    reader = others[0] if others else store

    async def change() -> int:
        last = 0
        for number in range(bed.size(100, 500)):
            last = await store.put(bed.key(str(number % 7)), b"%d" % number)
        return last

    await store.put(bed.key("0"), b"")
    changing = asyncio.ensure_future(change())
    try:
        await asyncio.sleep(0.005)
        listing = await reader.list(bed.prefix)
    finally:
        last = await changing
    present = {entry.key: entry.value for entry in listing.entries}
    for event in await changes(reader, bed.prefix, listing.revision + 1, last):
        present[event.key] = event.value
    expected = {entry.key: entry.value for entry in (await store.list(bed.prefix)).entries}
    expect(expected, present, "a listing and the changes since")


@rule("ST-WATCH-06", "A watch from a revision to come is silent until then.", needs=_HISTORY)
async def to_come(bed: Bed) -> None:
    """It begins with the first change at that revision or later."""
    store = await bed.store()
    now = await store.put(bed.key(), b"0")
    async with aclosing(store.watch(bed.prefix, from_revision=now + 3)) as watch:
        reading = asyncio.ensure_future(anext(watch))
        revisions = [await store.put(bed.key(), b"%d" % number) for number in range(1, 6)]
        try:
            async with asyncio.timeout(PATIENCE_S):
                events = list((await reading).events)
        except TimeoutError as error:
            raise Violation(
                f"a watch from a revision to come stays silent: {named(error)}"
            ) from error
        while not events or events[-1].revision < revisions[-1]:
            events += (await first(watch, "the changes to come")).events
    expected = [revision for revision in revisions if revision >= now + 3]
    expect(expected, [event.revision for event in events], "revisions seen from one to come on")


@rule(
    "ST-WATCH-07",
    "Watches do not disturb each other when they are read, closed or cancelled.",
    needs=_NEEDS,
)
async def apart(bed: Bed) -> None:
    """One is closed, one cancelled while it waits, one not read, one goes on."""
    store = await bed.store()
    async with (
        aclosing(store.watch(bed.prefix)) as closed,
        aclosing(store.watch(bed.prefix)) as cancelled,
        aclosing(store.watch(bed.prefix)) as unread,
        aclosing(store.watch(bed.prefix)) as kept,
    ):
        for watch in (closed, cancelled, unread, kept):
            await first(watch, "the first update")
        await closed.aclose()
        waiting = asyncio.ensure_future(anext(cancelled))
        await asyncio.wait([waiting], timeout=0.02)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=PATIENCE_S)
        holds(
            waiting.done(),
            f"watch({bed.prefix!r}) on instance 0 has not ended {PATIENCE_S:g} s after its reader "
            "was cancelled",
        )
        revisions = [await store.put(bed.key(), b"%d" % number) for number in range(5)]
        for name, watch in (("kept", kept), ("unread", unread)):
            events = await read_to(watch, revisions[-1])
            expect(revisions, [event.revision for event in events], f"what the {name} watch saw")


@rule("ST-WATCH-08", "What was refused or changed nothing is no event.", needs=_HISTORY)
async def no_event(bed: Bed) -> None:
    """Conflicts and deletions of nothing."""
    store = await bed.store()
    begin = await store.put(bed.key("a"), b"1")
    for name, if_revision in (("a", begin + 1), ("b", begin)):
        async with raises(Conflict, "a put on a condition that does not hold"):
            await store.put(bed.key(name), b"2", if_revision=if_revision)
    async with raises(Conflict, "a delete on a condition that does not hold"):
        await store.delete(bed.key("a"), if_revision=begin + 1)
    await store.delete(bed.key("nothing"))
    last = await store.put(bed.key("end"), b"")
    events = await changes(store, bed.prefix, begin, last)
    expect([begin, last], [event.revision for event in events], "revisions of the events")


@rule(
    "ST-WATCH-09",
    "A watch in which nothing changes yields an empty update about every second.",
    needs=_NEEDS,
)
async def idle(bed: Bed) -> None:
    """So that its reader can tell quiet from stale; its revision never goes back."""
    store = await bed.store()
    loop = asyncio.get_running_loop()
    async with aclosing(store.watch(bed.prefix)) as watch:
        update = await first(watch, "the first update")
        for _ in range(2):
            begun, before = loop.time(), update.revision
            try:
                async with asyncio.timeout(_IDLE_S):
                    update = await anext(watch)
            except TimeoutError as error:
                raise Violation(f"an idle watch is silent: {named(error)}") from error
            expect((), update.events, "the events of an idle watch")
            holds(update.revision >= before, "the revision of an idle watch goes back")
            bed.evidence.operations += loop.time() - begun > 0


@rule(
    "ST-WATCH-10",
    "The revisions of updates and events only grow, and an update's revision is "
    "that of its last event or later; changes of one revision are never torn apart.",
    needs=_HISTORY,
)
async def in_order(bed: Bed) -> None:
    """While many write, through all instances."""
    drivers = await bed.many()
    total = bed.size(150, 1_000)
    begin = await drivers[0].put(bed.key("begin"), b"")

    async def write(client: int) -> None:
        for number in range(total // 5):
            await drivers[client % len(drivers)].put(bed.key(f"{client}"), b"%d" % number)

    updates: list[WatchUpdate] = []
    async with aclosing(drivers[-1].watch(bed.prefix, from_revision=begin + 1)) as watch:
        writing = asyncio.gather(*(write(client) for client in range(5)))
        seen = 0
        try:
            while seen < total // 5 * 5:
                updates.append(await first(watch, "the changes of five writers"))
                seen += len(updates[-1].events)
        finally:
            await writing
    latest = begin
    for number, update in enumerate(updates):
        for event in update.events:
            holds(event.revision > latest, f"event {event.revision} comes after {latest}")
            latest = event.revision
        holds(
            update.revision >= latest,
            f"an update says that it is at {update.revision}, its last event is {latest}",
        )
        if number:
            holds(
                update.revision >= updates[number - 1].revision,
                f"an update at {update.revision} comes after {updates[number - 1].revision}",
            )
        latest = max(latest, update.revision)
    expect(total // 5 * 5, seen, "number of events")


@rule(
    "ST-WATCH-11",
    "Watches of all instances have the same events, whoever made the changes.",
    needs=[*_HISTORY, Capability.SHARED],
    instances=2,
)
async def alike_everywhere(bed: Bed) -> None:
    """Byte by byte."""
    drivers = await bed.many()
    begin = await drivers[0].put(bed.key("begin"), b"")

    async def write(driver: StateStore, name: str) -> None:
        for number in range(bed.size(30, 150)):
            await driver.put(bed.key(name), b"%d" % number)
            if number % 7 == 6:
                await driver.delete(bed.key(name))

    await asyncio.gather(*(write(driver, str(at)) for at, driver in enumerate(drivers)))
    last = await drivers[0].put(bed.key("end"), b"")
    seen = [await changes(driver, bed.prefix, begin, last) for driver in drivers]
    for events in seen[1:]:
        expect(seen[0], events, "the events that another instance's watch has")


@rule(
    "ST-WATCH-12",
    "A reader that is slow misses nothing, or is told so by Compacted.",
    needs=_HISTORY,
)
async def slow_reader(bed: Bed) -> None:
    """Thousands of changes between two looks."""
    store = await bed.store()
    total = bed.size(1_000, 5_000)
    async with aclosing(store.watch(bed.prefix)) as watch:
        await first(watch, "the first update")
        last = 0
        for begin in range(0, total, 50):
            revisions = await asyncio.gather(
                *(store.put(bed.key(str(n)), b"") for n in range(begin, begin + 50))
            )
            last = max(last, *revisions)
        try:
            events = await read_to(watch, last)
        except Compacted:
            listing = await store.list(bed.prefix)
            expect(total, len(listing.entries), "number of keys that it finds, told to list them")
            return
    expect(total, len(events), "number of events that a slow reader saw")
    expect(total, len({event.key for event in events}), "number of keys that it saw")
