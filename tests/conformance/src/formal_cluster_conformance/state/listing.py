"""Rules: listing everything below a prefix."""

from __future__ import annotations

import asyncio

from formal_cluster.model import Capability, Entry
from formal_cluster_conformance.bed import Bed, expect, holds
from formal_cluster_conformance.rules import rule

_AT_ONCE = 25


@rule("ST-LIST-01", "A listing has every key below the prefix and no other, sorted by its bytes.")
async def below_a_prefix(bed: Bed) -> None:
    """Also a prefix that is a key itself, ends in 0xff, or has nothing below it."""
    store = await bed.store()
    names = [b"a", b"a/2", b"a/10", b"a/\xff", b"a\xff", b"a\xff\xff1", b"b", b"\xff", b"\xff\xff"]
    entries = {}
    for name in bed.random.sample(names, len(names)):
        key = bed.key(name)
        entries[key] = Entry(key, name, await store.put(key, name))
    for prefix in (b"", b"a", b"a/", b"a\xff", b"\xff", b"\xff\xff", b"b", b"c"):
        listing = await store.list(bed.key(prefix))
        expected = [entries[key] for key in sorted(entries) if key.startswith(bed.key(prefix))]
        expect(tuple(expected), listing.entries, f"the listing below {prefix!r}")


@rule("ST-LIST-02", "A listing has the newest revision; no change before it is larger.")
async def newest_revision(bed: Bed) -> None:
    """So that a watch can begin right after it."""
    store = await bed.store()
    for name in "abc":
        latest = await store.put(bed.key(name), b"")
        listing = await store.list(bed.prefix)
        holds(
            listing.revision >= latest,
            f"a listing is of revision {listing.revision}, the last change was {latest}",
        )
    removed = await store.delete(bed.key("b"))
    empty = await store.list(bed.key("nothing"))
    holds(
        removed is not None and empty.revision >= removed,
        f"an empty listing is of revision {empty.revision}, the last change was {removed}",
    )


@rule("ST-LIST-03", "The empty prefix lists everything.")
async def everything(bed: Bed) -> None:
    """At least what this rule wrote."""
    store = await bed.store()
    await store.put(bed.key(), b"v")
    keys = [entry.key for entry in (await store.list(b"")).entries]
    holds(bed.key() in keys, f"listing the empty prefix lacks {bed.key()!r}")
    expect(sorted(keys), keys, "the order of everything")


@rule("ST-LIST-04", "A listing of thousands of keys is complete.", deadline_s=120)
async def thousands(bed: Bed) -> None:
    """More than any page."""
    store = await bed.store()
    total = bed.size(1_500, 5_000)
    for begin in range(0, total, _AT_ONCE):
        await asyncio.gather(
            *(store.put(bed.key(f"{n:06}"), b"%d" % n) for n in range(begin, begin + _AT_ONCE))
        )
    listing = await store.list(bed.prefix)
    expect(total, len(listing.entries), "number of keys listed")
    for number, entry in enumerate(listing.entries):
        expect((bed.key(f"{number:06}"), b"%d" % number), (entry.key, entry.value), "an entry")


@rule(
    "ST-LIST-05",
    "A listing shows one moment: of two keys that are always changed one after the other it never "
    "shows the second change without the first.",
    needs=[Capability.LIST_AT_ONE_REVISION],
)
async def one_moment(bed: Bed) -> None:
    """With enough keys in between for several pages."""
    store, *others = await bed.many()
    lister = others[0] if others else store
    between = bed.size(600, 1_200)
    await asyncio.gather(*(store.put(bed.key(f"m{n:05}"), b"") for n in range(between)))
    first, second = bed.key("a"), bed.key("z")
    for key in (first, second):
        await store.put(key, b"0")
    listings, done = 0, asyncio.Event()

    async def change() -> None:
        for number in range(1, bed.size(80, 400)):
            await store.put(first, b"%d" % number)
            await store.put(second, b"%d" % number)
        done.set()

    changing = asyncio.ensure_future(change())
    seen = set()
    try:
        while not done.is_set():
            listing = await lister.list(bed.prefix)
            values = {entry.key: int(entry.value or b"0") for entry in listing.entries}
            ahead = values.get(first, -1) - values.get(second, -1)
            holds(
                ahead in (0, 1),
                f"a listing at revision {listing.revision} shows change {values.get(second)} of "
                f"the second key, and change {values.get(first)} of the first",
            )
            late = [entry for entry in listing.entries if entry.revision > listing.revision]
            expect([], late, "entries newer than their listing")
            seen.add(listing.revision)
            listings += 1
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
    bed.evidence.operations += listings
    bed.evidence.demand("listings while keys changed", len(seen), 5)
