"""Holds a recorded history against the specification; raises what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from formal_cluster.model import Event
from formal_cluster_conformance.linear.checker import Verdict, check
from formal_cluster_conformance.linear.operation import by_key
from formal_cluster_conformance.linear.shrink import shrink
from formal_cluster_conformance.linear.timeline import timeline
from formal_cluster_conformance.linear.whole import (
    events_out_of_order,
    revisions_out_of_order,
    stale_listing,
    told_otherwise,
    torn_listing,
)
from formal_cluster_conformance.load import History
from formal_cluster_conformance.results import Evidence, Undecided, Violation


def note(evidence: Evidence, history: History) -> None:
    """How much was recorded."""
    evidence.operations += len(history.operations) + len(history.listings)
    evidence.overlapping += history.overlapping
    evidence.unknown += history.unknown


def linearizable(history: History, events: Sequence[Event] | None = None) -> None:
    """Each key's calls can be put in an order.

    Args:
        events: What a watch says was changed, if there is one; it need not be right.

    Raises:
        Violation: They cannot; with the smallest part of the history that shows it.
        Undecided: The search was given up.
    """
    undecided = []
    for key, operations in sorted(by_key(history.operations).items()):
        seen = None if events is None else [event for event in events if event.key == key]
        verdict = check(operations, events=seen).verdict
        if verdict is Verdict.ILLEGAL:
            shown = shrink(operations)
            raise Violation(
                f"there is no order in which these {len(shown)} calls on {key!r} (of "
                f"{len(operations)}) could have been executed one by one",
                timeline=timeline(shown),
            )
        if verdict is Verdict.UNKNOWN:
            undecided.append(f"{key!r} with {len(operations)} calls")
    if undecided:
        raise Undecided(f"no order was found or excluded in time for {', '.join(undecided)}")


def revisions_in_order(history: History) -> None:
    """Store-wide revisions follow real time."""
    _raise(revisions_out_of_order(history.operations))


def watched(history: History, events: Sequence[Event]) -> None:
    """A watch has exactly the changes that were made."""
    _raise(events_out_of_order(events))
    _raise(told_otherwise(history.operations, events))


def listed(history: History, events: Sequence[Event]) -> None:
    """Each listing is one moment, and not an earlier one than the caller knew of."""
    _raise(torn_listing(history.listings, events))
    _raise(stale_listing(history.listings, history.operations))


def _raise(wrong: str | None) -> None:
    if wrong is not None:
        raise Violation(wrong)
