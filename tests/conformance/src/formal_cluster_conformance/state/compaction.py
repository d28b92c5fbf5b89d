"""Rules: what happens to watches when history is discarded. Take `Backing.compact`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from formal_cluster.errors import Compacted
from formal_cluster.model import Capability
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.bed import Bed, changes, expect, first, holds, raises, read_to
from formal_cluster_conformance.rules import rule

_NEEDS = [Capability.WATCH, Capability.WATCH_HISTORY]


async def _discarded(bed: Bed) -> list[int]:
    """Revisions of ten changes, with the history before the last of them discarded."""
    store = await bed.store()
    revisions = [await store.put(bed.key(), b"%d" % number) for number in range(10)]
    await bed.site.backing.compact(revisions[-1])
    return revisions


async def _refused(bed: Bed, store: StateStore, begin: int) -> Compacted:
    what = "a watch from before the discarded history"
    async with (
        aclosing(store.watch(bed.prefix, from_revision=begin)) as watch,
        raises(Compacted, what) as caught,
    ):
        await first(watch, what)
    told = caught[0]
    assert isinstance(told, Compacted)
    return told


@rule(
    "ST-COMPACT-01",
    "A watch from before the discarded history raises Compacted; it never "
    "skips a change in silence.",
    needs=_NEEDS,
)
async def told(bed: Bed) -> None:
    """At its first update, through every instance."""
    revisions = await _discarded(bed)
    for store in await bed.many():
        told = await _refused(bed, store, revisions[0])
        holds(
            told.oldest > revisions[0],
            f"Compacted names {told.oldest} as the oldest revision, {revisions[0]} was asked for",
        )


@rule(
    "ST-COMPACT-02",
    "From the revision that Compacted names a watch can start, and has every change since.",
    needs=_NEEDS,
)
async def oldest_works(bed: Bed) -> None:
    """The name is not a guess."""
    revisions = await _discarded(bed)
    store = await bed.store()
    told = await _refused(bed, store, revisions[0])
    # Opened first: in a store that keeps so many changes the later ones would displace it.
    async with aclosing(store.watch(bed.prefix, from_revision=told.oldest)) as watch:
        events = list((await first(watch, "a watch from the oldest revision")).events)
        later = [await store.put(bed.key(), b"later") for _ in range(3)]
        events += await read_to(watch, later[-1])
    expected = [revision for revision in [*revisions, *later] if revision >= told.oldest]
    expect(expected, [event.revision for event in events], "revisions from the oldest one on")


@rule(
    "ST-COMPACT-03",
    "Discarding history leaves keys, listings and conditions as they were.",
    needs=_NEEDS,
)
async def keys_stay(bed: Bed) -> None:
    """Also keys whose last change is discarded."""
    store = await bed.store()
    old = await store.put(bed.key("old"), b"v")
    await _discarded(bed)
    entry = await store.get(bed.key("old"))
    expect((b"v", old), entry and (entry.value, entry.revision), "an old key")
    listed = {entry.key: entry.revision for entry in (await store.list(bed.prefix)).entries}
    expect(old, listed.get(bed.key("old")), "its revision in a listing")
    await store.put(bed.key("old"), b"w", if_revision=old)


@rule(
    "ST-COMPACT-04",
    "A listing and a watch from there work while history is discarded.",
    needs=_NEEDS,
)
async def list_and_follow(bed: Bed) -> None:
    """The way out that Compacted names."""
    store = await bed.store()
    position = (await store.list(bed.prefix)).revision + 1
    seen: list[int] = []
    written: list[int] = []
    losses = 0
    for round_ in range(bed.size(4, 20)):
        written += [await store.put(bed.key(str(n)), b"%d" % round_) for n in range(4)]
        if round_ % 2:
            await bed.site.backing.compact(written[-1])
        try:
            events = await changes(store, bed.prefix, position, written[-1])
        except Compacted:
            losses += 1
            listing = await store.list(bed.prefix)
            expect(4, len(listing.entries), "number of keys listed after the loss of history")
            position = listing.revision + 1
            seen = [revision for revision in written if revision <= listing.revision]
            continue
        seen += [event.revision for event in events]
        position = written[-1] + 1
        await asyncio.sleep(0)
    expect(written, seen, "revisions seen or covered by a listing")
    bed.evidence.demand("losses of history met", losses, 1)
