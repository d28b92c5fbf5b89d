"""Rules: many clients on few keys at once, through all instances; histories checked afterwards."""

from __future__ import annotations

from formal_cluster.errors import StoreError
from formal_cluster.model import Capability, Event
from formal_cluster_conformance import judging, load
from formal_cluster_conformance.bed import Bed, changes
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_LINEARIZABLE = [
    Capability.LINEARIZABLE_READS,
    Capability.LINEARIZABLE_WRITES,
    Capability.COMPARE_AND_SWAP,
]
_WATCHED = [Capability.WATCH, Capability.WATCH_HISTORY]
_CLIENTS = 8


async def _run(
    bed: Bed, *, lists: bool = False, gives_up: bool = False
) -> tuple[load.History, int]:
    """The history of a run, and the revision before it."""
    drivers = await bed.many()
    begin = await drivers[0].put(bed.key("begin"), b"")
    keys = [bed.key(f"k/{number}") for number in range(3)]
    history, clients = load.clients(drivers, keys, bed.key("k/"), bed.random, count=_CLIENTS)
    calls = bed.size(60, 300)
    await load.run(clients, calls=calls, lists=lists, gives_up=gives_up)
    judging.note(bed.evidence, history)
    bed.evidence.demand(
        "calls that ran at the same time as another one on their key",
        history.overlapping,
        calls * _CLIENTS // 10,
    )
    return history, begin


@rule(
    "ST-CONC-01",
    "Concurrent calls on a key are linearizable: each takes effect at one moment "
    "between its begin and its return.",
    needs=_LINEARIZABLE,
    deadline_s=120,
)
async def linearizable(bed: Bed) -> None:
    """Without faults."""
    history, _ = await _run(bed)
    judging.linearizable(history)


@rule(
    "ST-CONC-02",
    "Calls that are given up are linearizable, too: each took effect once, after "
    "its begin, or never.",
    needs=_LINEARIZABLE,
    deadline_s=120,
)
async def given_up(bed: Bed) -> None:
    """The caller was cancelled and knows nothing."""
    history, begin = await _run(bed, gives_up=True)
    bed.evidence.demand("calls given up", history.unknown, 10)
    judging.linearizable(history, await _witnessed(bed, begin))


@rule(
    "ST-CONC-03",
    "Revisions follow real time over all keys: a change that is asked for after "
    "another one was acknowledged has a larger revision, and no two have the same.",
    needs=[Capability.LINEARIZABLE_WRITES],
    deadline_s=120,
)
async def revisions(bed: Bed) -> None:
    """Store-wide."""
    history, _ = await _run(bed)
    judging.revisions_in_order(history)


@rule(
    "ST-CONC-04",
    "A watch has every acknowledged change once, with the revision that its caller "
    "was told, and nothing that was refused.",
    needs=_WATCHED,
    deadline_s=120,
)
async def watched(bed: Bed) -> None:
    """Through every instance."""
    history, begin = await _run(bed, gives_up=True)
    for store in await bed.many():
        end = await store.put(bed.key("k/end"), b"")
        events = await changes(store, bed.key("k/"), begin, end)
        ours = [event for event in events if event.key != bed.key("k/end")]
        judging.watched(history, ours)


@rule(
    "ST-CONC-05",
    "A listing taken while keys change is what the changes up to its revision "
    "amount to, and has every change acknowledged before it was asked for.",
    needs=[*_WATCHED, Capability.LIST_AT_ONE_REVISION, Capability.LINEARIZABLE_READS],
    deadline_s=120,
)
async def listed(bed: Bed) -> None:
    """Held against a watch."""
    history, begin = await _run(bed, lists=True)
    bed.evidence.demand("listings", len(history.listings), 10)
    store = await bed.store()
    end = await store.put(bed.key("k/~end"), b"")
    judging.listed(history, await changes(store, bed.key("k/"), begin, end))


async def _witnessed(bed: Bed, begin: int) -> list[Event] | None:
    """What a watch says of the run since a revision; nothing if it is bad, which others judge."""
    store = await bed.store()
    if not {*_WATCHED} <= store.capabilities:
        return None
    end = await store.put(bed.key("k/~end"), b"")
    try:
        return await changes(store, bed.key("k/"), begin, end)
    except (Violation, StoreError):
        return None
