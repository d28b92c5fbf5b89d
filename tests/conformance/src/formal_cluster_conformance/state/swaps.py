"""Rules: changes on condition (`if_revision`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from formal_cluster.errors import Conflict, OutcomeUnknown, Unavailable
from formal_cluster.model import Capability, Entry
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.bed import Bed, expect, holds, raises
from formal_cluster_conformance.rules import rule

_NEEDS = [Capability.COMPARE_AND_SWAP]


async def _conflicts(store: StateStore, key: bytes, if_revision: int, what: str) -> None:
    """A put and a delete on this condition conflict, tell the truth and change nothing."""
    before = await store.get(key)
    actual = before.revision if before else 0
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.put(key, b"refused", if_revision=if_revision),
        lambda: store.delete(key, if_revision=if_revision),
    ]
    for call in calls:
        async with raises(Conflict, what) as caught:
            await call()
        told = caught[0]
        assert isinstance(told, Conflict)
        holds(
            told.actual in (None, actual),
            f"{what}: the conflict says that the key is at {told.actual}, it is at {actual}",
        )
        expect(before, await store.get(key), f"the key after a conflict ({what})")


@rule("ST-CAS-01", "Revision 0 means that the key must not exist: it is made once.", needs=_NEEDS)
async def made_once(bed: Bed) -> None:
    """Again after it was deleted."""
    store, key = await bed.store(), bed.key()
    for value in (b"1", b"2"):
        revision = await store.put(key, value, if_revision=0)
        expect(Entry(key, value, revision), await store.get(key), "a key made at revision 0")
        await _conflicts(store, key, 0, "revision 0 of a key that exists")
        await store.delete(key)


@rule("ST-CAS-02", "A change at the key's present revision is made.", needs=_NEEDS)
async def at_present_revision(bed: Bed) -> None:
    """Put, put, delete."""
    store, key = await bed.store(), bed.key()
    first = await store.put(key, b"1")
    second = await store.put(key, b"2", if_revision=first)
    expect(Entry(key, b"2", second), await store.get(key), "a put at the present revision")
    removed = await store.delete(key, if_revision=second)
    holds(removed is not None, "a delete at the present revision says that there was no key")
    expect(None, await store.get(key), "a delete at the present revision")


@rule("ST-CAS-03", "A change at any other revision conflicts and changes nothing.", needs=_NEEDS)
async def at_another_revision(bed: Bed) -> None:
    """Older, newer, of another key, of a key that does not exist, of an earlier life."""
    store, key = await bed.store(), bed.key()
    await _conflicts(store, key, 1, "a key that does not exist")
    first = await store.put(key, b"1")
    second = await store.put(key, b"2")
    other = await store.put(bed.key("other"), b"")
    await _conflicts(store, key, first, "an older revision")
    await _conflicts(store, key, second + 1_000, "a revision to come")
    await _conflicts(store, key, other, "another key's revision")
    await store.delete(key)
    await _conflicts(store, key, second, "a revision before the deletion")
    await store.put(key, b"3")
    await _conflicts(store, key, second, "a revision of an earlier life of the key")


@rule("ST-CAS-04", "Of many that make one key at once exactly one succeeds.", needs=_NEEDS)
async def one_maker(bed: Bed) -> None:
    """Through all instances that may share it."""
    drivers = await bed.many()
    clients = bed.size(20, 60)
    for attempt in range(bed.size(5, 30)):
        key = bed.key(str(attempt))
        outcomes = await asyncio.gather(
            *(drivers[n % len(drivers)].put(key, b"%d" % n, if_revision=0) for n in range(clients)),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, Unavailable | OutcomeUnknown):
                raise outcome
        won = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
        expect(clients - 1, len(lost), f"conflicts among {clients} that make one key: {outcomes!r}")
        entry = await drivers[0].get(key)
        expect(b"%d" % won[0], entry and entry.value, "the value of the one that succeeded")


@rule(
    "ST-CAS-05",
    "Counting up by read and conditional write from many sides at once loses no step.",
    needs=[*_NEEDS, Capability.LINEARIZABLE_READS],
)
async def no_step_lost(bed: Bed) -> None:
    """The lost update."""
    drivers, key = await bed.many(), bed.key()
    clients, steps = 6, bed.size(10, 40)
    await drivers[0].put(key, b"0")
    conflicts = 0

    async def count_up(store: StateStore) -> None:
        nonlocal conflicts
        for _ in range(steps):
            while True:
                entry = await store.get(key)
                assert entry is not None
                try:
                    value = b"%d" % (int(entry.value) + 1)
                    await store.put(key, value, if_revision=entry.revision)
                except Conflict:
                    conflicts += 1
                    continue
                break

    await asyncio.gather(*(count_up(drivers[n % len(drivers)]) for n in range(clients)))
    entry = await drivers[0].get(key)
    bed.evidence.operations += clients * steps + conflicts
    bed.evidence.demand("steps that met another one", conflicts, clients)
    expect(b"%d" % (clients * steps), entry and entry.value, "steps counted")
