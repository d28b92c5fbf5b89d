"""Rules: five for each fault. What is played is in `play`; each rule looks at one side of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from formal_cluster.model import Capability, Event
from formal_cluster_conformance import judging
from formal_cluster_conformance.bed import Bed, expect, holds
from formal_cluster_conformance.declaration import Fault, NotPossible
from formal_cluster_conformance.failover.counting import Grade, count_through
from formal_cluster_conformance.failover.play import played, served, writable
from formal_cluster_conformance.killing import kill
from formal_cluster_conformance.linear.whole import events_out_of_order
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_ORDER: Final = [
    Capability.LINEARIZABLE_READS,
    Capability.LINEARIZABLE_WRITES,
    Capability.COMPARE_AND_SWAP,
]
_WATCH: Final = [Capability.WATCH, Capability.WATCH_HISTORY]
_DISK: Final = [Capability.SURVIVES_RESTART]
_FAULTS: Final = {
    Fault.KILL: ("a node is killed and comes back with its disk", _DISK),
    Fault.WIPE: (
        "a node is killed and comes back with an empty disk",
        [Capability.SURVIVES_MINORITY_LOSS],
    ),
    Fault.PAUSE: ("a node does nothing for a while", []),
    Fault.PARTITION: ("instances and nodes cannot reach each other", []),
    Fault.DELAY: ("the way between instances and nodes is slow", []),
    Fault.STOP_ALL: ("all nodes are killed and come back with their disks", _DISK),
}


async def _linearizable(bed: Bed, fault: Fault) -> None:
    recorded = await played(bed, fault)
    if recorded.lost:
        raise Violation("; ".join(recorded.lost))
    judging.linearizable(recorded.history, recorded.truth or None)
    judging.revisions_in_order(recorded.history)
    if recorded.truth:
        # What was refused may have been overwritten before anybody read it; a watch saw it.
        judging.watched(recorded.history, _of_the_load(recorded.truth))


async def _watched(bed: Bed, fault: Fault) -> None:
    recorded = await played(bed, fault)
    if recorded.broken:
        raise Violation("; ".join(recorded.broken))
    judging.watched(recorded.history, _of_the_load(recorded.truth))
    for at, events in enumerate(recorded.followed):
        wrong = events_out_of_order(events)
        holds(wrong is None, f"the watch of instance {at}: {wrong}")
        end = recorded.truth[-1].revision
        seen = [event for event in events if event.revision <= end]
        missing = sorted({e.revision for e in recorded.truth} - {e.revision for e in seen})
        expect([], missing[:10], f"revisions that the watch of instance {at} never showed")
        expect(recorded.truth, seen, f"the events that the watch of instance {at} showed")


def _counted(grade: Grade) -> Callable[[Bed, Fault], Awaitable[None]]:
    async def look(bed: Bed, fault: Fault) -> None:
        await count_through(bed, fault, grade)

    return look


def _of_the_load(events: list[Event]) -> list[Event]:
    return [event for event in events if not event.key.rpartition(b"/")[2].startswith(b"~")]


def _bound(
    look: Callable[[Bed, Fault], Awaitable[None]], fault: Fault
) -> Callable[[Bed], Awaitable[None]]:
    async def check(bed: Bed) -> None:
        await look(bed, fault)

    return check


_LOOKS: Final = (
    (
        (
            "While {0}, calls stay linearizable: nothing acknowledged is lost, nothing refused "
            "appears; afterwards all instances serve again in time."
        ),
        _linearizable,
        _ORDER,
    ),
    (
        "While {0}, watches miss nothing; they go on without a repetition or a change of order.",
        _watched,
        _WATCH,
    ),
    (
        "While {0}, strict counters never admit more than the limit and lose no admitted hit.",
        _counted(Grade.STRICT),
        [*_ORDER, *_WATCH],
    ),
    (
        (
            "While {0}, hits by reserved blocks are never admitted beyond the limit, and every "
            "one that is admitted is counted."
        ),
        _counted(Grade.RESERVED),
        [*_ORDER, *_WATCH],
    ),
    (
        (
            "While {0}, eventual hits go on being decided from memory; afterwards every instance "
            "counts each of them once."
        ),
        _counted(Grade.EVENTUAL),
        [*_ORDER, *_WATCH],
    ),
)


def _add() -> None:
    for fault, (situation, disk) in _FAULTS.items():
        name = fault.value.replace("-", "").upper()
        for number, (text, look, needs) in enumerate(_LOOKS, 1):
            rule(
                f"FO-{name}-{number:02}",
                text.format(situation),
                needs=[*needs, *disk],
                faults=[fault],
                deadline_s=180,
            )(_bound(look, fault))


_add()


@rule(
    "FO-MINORITY-01",
    "As long as only a minority of the nodes is dead, every instance is served.",
    needs=[Capability.SURVIVES_MINORITY_LOSS],
    faults=[Fault.KILL],
    deadline_s=180,
)
async def minority(bed: Bed) -> None:
    """The dead stay dead all the while."""
    nodes = bed.site.backing.nodes
    if len(nodes) < 3:
        raise NotPossible(f"there are {len(nodes)} nodes; a minority can be lost of three")
    drivers, within_s = await bed.many(), bed.declaration.recovery_s
    await bed.settled()
    for dead in nodes if not bed.quick else [bed.random.choice(nodes)]:
        before = {
            bed.key(str(at)): await store.put(bed.key(str(at)), b"")
            for at, store in enumerate(drivers)
        }
        await kill([dead])
        try:
            for store in drivers:
                for key, revision in before.items():
                    await writable(store, bed.key("any"), within_s)
                    entry = await served(
                        store,
                        f"get({key!r})",
                        lambda store=store, key=key: store.get(key),  # type: ignore[misc]
                        within_s,
                    )
                    expect(revision, entry and entry.revision, f"{key!r} without {dead.name}")
                    bed.evidence.operations += 2
        finally:
            await dead.restart()
        await bed.settled()
        for store in drivers:
            await writable(store, bed.key("after"), within_s)
    bed.evidence.faults["dead"] = bed.evidence.operations
