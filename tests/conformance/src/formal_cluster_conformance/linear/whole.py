"""What concerns several keys at once: the store-wide order of changes, listings and watches.

Every change has a store-wide revision, so no search is needed: a history of all changes, as a watch
tells it, is held against what the callers were told. Each function returns the first thing that
cannot be, in words, or None.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from formal_cluster.model import Entry, Event, EventKind
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation
from formal_cluster_conformance.linear.timeline import describe


class Listed(NamedTuple):
    """One recorded listing of everything below the history's prefix."""

    client: int
    begin: float
    end: float
    entries: tuple[Entry, ...]
    revision: int


def revisions_out_of_order(operations: Iterable[Operation]) -> str | None:
    """Two changes with one revision, or a change with a smaller revision than one that had been
    acknowledged before it was asked for."""
    changes = [op for op in operations if op.change is not None]
    by_revision: dict[int, Operation] = {}
    for op in changes:
        assert op.change is not None
        other = by_revision.setdefault(op.change, op)
        if other is not op:
            return f"two changes have revision {op.change}: {_named(other)} and {_named(op)}"
    returns = sorted(changes, key=lambda op: op.end)
    at, latest = 0, None
    for op in sorted(changes, key=lambda op: op.begin):
        while at < len(returns) and returns[at].end < op.begin:
            if latest is None or (returns[at].change or 0) > (latest.change or 0):
                latest = returns[at]
            at += 1
        if latest is not None and (op.change or 0) < (latest.change or 0):
            return f"{_named(op)} was asked for after {_named(latest)} had been acknowledged"
    return None


def events_out_of_order(events: Sequence[Event]) -> str | None:
    """A watch that goes back or repeats itself."""
    for before, after in itertools.pairwise(events):
        if after.revision <= before.revision:
            again = "again" if after == before else "after"
            return f"revision {after.revision} came {again} {before.revision}: {after.key!r}"
    return None


def told_otherwise(operations: Iterable[Operation], events: Sequence[Event]) -> str | None:
    """A difference between what callers were told and what a watch says of the same time.

    Values have to be unique among the puts.
    """
    by_revision = {event.revision: event for event in events}
    puts: dict[tuple[bytes, bytes], Operation] = {}
    for op in operations:
        if op.kind is Kind.PUT:
            puts[op.key, op.value or b""] = op
        if op.change is None:
            continue
        expected = Event(
            EventKind.PUT if op.kind is Kind.PUT else EventKind.DELETE,
            op.key,
            op.value or b"" if op.kind is Kind.PUT else b"",
            op.change,
        )
        if by_revision.get(op.change) != expected:
            return f"the watch lacks {_named(op)}; at that revision it has " + (
                repr(by_revision.get(op.change)) if op.change in by_revision else "nothing"
            )
    for event in events:
        if event.kind is EventKind.PUT:
            put = puts.get((event.key, event.value))
            if put is None:
                return f"the watch has a change that nobody asked for: {event!r}"
            if put.ending in (Ending.REFUSED, Ending.CONFLICT):
                return f"{_named(put)}, but the watch has it: {event!r}"
    return None


def torn_listing(listings: Iterable[Listed], events: Sequence[Event]) -> str | None:
    """A listing that is not what the changes up to its revision amount to."""
    present: dict[bytes, Entry] = {}
    at = 0
    for listed in sorted(listings, key=lambda listed: listed.revision):
        while at < len(events) and events[at].revision <= listed.revision:
            event = events[at]
            if event.kind is EventKind.PUT:
                present[event.key] = Entry(event.key, event.value, event.revision)
            else:
                present.pop(event.key, None)
            at += 1
        expected = tuple(present[key] for key in sorted(present))
        if expected != listed.entries:
            wrong = min(set(expected) ^ set(listed.entries), key=lambda e: e.key, default=None)
            return (
                f"a listing at revision {listed.revision} differs from the changes up to there, "
                f"first at {wrong.key if wrong else 'the order of its keys'!r}"
            )
    return None


def stale_listing(listings: Iterable[Listed], operations: Iterable[Operation]) -> str | None:
    """A listing that lacks a change acknowledged before it was asked for."""
    acknowledged = sorted(
        ((op.end, op.change) for op in operations if op.change is not None),
    )
    at, latest = 0, 0
    for listed in sorted(listings, key=lambda listed: listed.begin):
        while at < len(acknowledged) and acknowledged[at][0] < listed.begin:
            latest = max(latest, acknowledged[at][1])
            at += 1
        if listed.revision < latest:
            return (
                f"a listing is of revision {listed.revision}, but revision {latest} had been "
                "acknowledged before it was asked for"
            )
    return None


def _named(operation: Operation) -> str:
    return f"{describe(operation)} on {operation.key!r} by client {operation.client}"
