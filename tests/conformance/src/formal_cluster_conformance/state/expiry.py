"""Rules: keys that vanish after a time (`ttl`)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from formal_cluster.errors import Conflict
from formal_cluster.model import Capability, Event, EventKind
from formal_cluster_conformance.bed import Bed, expect, first, holds, raises
from formal_cluster_conformance.calls import Traced
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_NEEDS = [Capability.TTL]
_WATCHED = [Capability.TTL, Capability.WATCH, Capability.WATCH_HISTORY]
_LATE = "(its ttl and `ttl_slack_s` of the declaration)"
_EARLY_S = 0.02
"""Clocks of two processes may differ by so much over a few seconds."""


async def _gone(bed: Bed, store: Traced, key: bytes, begun: float, ttl: float) -> float:
    """Wait until the key has vanished; the seconds since `begun`, not too late."""
    loop = asyncio.get_running_loop()
    latest = ttl + bed.declaration.ttl_slack_s
    while await store.get(key) is not None:
        if loop.time() - begun > latest:
            raise Violation(
                f"get({key!r}) on instance {store.instance}: a key with a ttl of {ttl:g} s is "
                f"still there after {latest:g} s {_LATE}"
            )
        await asyncio.sleep(0.005)
    return loop.time() - begun


@rule("ST-TTL-01", "A key with a ttl does not vanish before its time.", needs=_NEEDS)
async def not_too_early(bed: Bed) -> None:
    """Looked at all the while."""
    store = await bed.store()
    ttl = max(0.3, 1.5 * bed.declaration.shortest_ttl_s)
    begun = asyncio.get_running_loop().time()
    await store.put(bed.key(), b"v", ttl=ttl)
    lived = await _gone(bed, store, bed.key(), begun, ttl)
    holds(lived >= ttl - _EARLY_S, f"a key with a ttl of {ttl:g} s vanished after {lived:.3f} s")


@rule(
    "ST-TTL-02",
    "A key with a ttl vanishes in time, for readers, listings and conditions.",
    needs=_NEEDS,
)
async def vanishes(bed: Bed) -> None:
    """With nobody watching."""
    store, key = await bed.store(), bed.key()
    ttl = bed.declaration.shortest_ttl_s
    begun = asyncio.get_running_loop().time()
    revision = await store.put(key, b"v", ttl=ttl)
    await _gone(bed, store, key, begun, ttl)
    expect((), (await store.list(bed.prefix)).entries, "the listing after the key's time")
    async with raises(Conflict, "a put at the revision of a key that has vanished"):
        await store.put(key, b"w", if_revision=revision)
    later = await store.put(key, b"w", if_revision=0)
    holds(later > revision, f"the key was made anew at {later}, not after {revision}")


async def _deletion(bed: Bed, store: Traced, begin: int, key: bytes, ttl: float) -> Event:
    latest = ttl + bed.declaration.ttl_slack_s
    try:
        async with (
            asyncio.timeout(latest),
            aclosing(store.watch(bed.prefix, from_revision=begin)) as watch,
        ):
            async for update in watch:
                for event in update.events:
                    if event.kind is EventKind.DELETE and event.key == key:
                        return event
    except TimeoutError:
        pass
    raise Violation(
        f"watch({bed.prefix!r}) on instance {store.instance}: {key!r} with a ttl of {ttl:g} s has "
        f"no delete event within {latest:g} s {_LATE}"
    )


@rule(
    "ST-TTL-03",
    "A key whose time is over has a delete event with a revision of its own.",
    needs=_WATCHED,
)
async def with_an_event(bed: Bed) -> None:
    """And by the time of the event it is gone."""
    store = await bed.store()
    ttl = bed.declaration.shortest_ttl_s
    revision = await store.put(bed.key(), b"v", ttl=ttl)
    event = await _deletion(bed, store, revision, bed.key(), ttl)
    expect((bed.key(), b""), (event.key, event.value), "the event")
    holds(event.revision > revision, f"it vanished at {event.revision}, written at {revision}")
    expect(None, await store.get(bed.key()), "the key after its delete event")


@rule("ST-TTL-04", "Writing a key again replaces its ttl, or ends it.", needs=_WATCHED)
async def replaced(bed: Bed) -> None:
    """None, a longer one, and after a deletion."""
    store = await bed.store()
    ttl = bed.declaration.shortest_ttl_s
    kept = {bed.key("none"): None, bed.key("longer"): 600.0, bed.key("deleted"): None}
    for key in kept:
        begin = await store.put(key, b"1", ttl=ttl)
    await store.delete(bed.key("deleted"))
    revisions = {key: await store.put(key, b"2", ttl=longer) for key, longer in kept.items()}
    await store.put(bed.key("witness"), b"", ttl=ttl)
    await _deletion(bed, store, begin, bed.key("witness"), ttl)
    # Whatever looks for what has expired looked at the others, too.
    await asyncio.sleep(0.1)
    for key, revision in revisions.items():
        entry = await store.get(key)
        expect(revision, entry and entry.revision, f"the revision of {key!r} after its first ttl")


@rule("ST-TTL-05", "A watch that waits learns of a key that vanishes.", needs=_WATCHED)
async def waiting_watch(bed: Bed) -> None:
    """The ttl is set while it waits."""
    store = await bed.store()
    ttl = bed.declaration.shortest_ttl_s
    latest = ttl + bed.declaration.ttl_slack_s
    async with aclosing(store.watch(bed.prefix)) as watch:
        begin = (await first(watch, "the watch's beginning")).revision + 1
        await store.put(bed.key(), b"v", ttl=ttl)
        kinds: list[EventKind] = []
        try:
            async with asyncio.timeout(latest):
                while EventKind.DELETE not in kinds:
                    kinds += [event.kind for event in (await anext(watch)).events]
        except TimeoutError:
            raise Violation(
                f"a watch of instance {store.instance} from {begin} saw "
                f"{[str(kind) for kind in kinds]} within {latest:g} s {_LATE}, not put and delete"
            ) from None
    expect([EventKind.PUT, EventKind.DELETE], kinds, "the events of a key with a ttl")
