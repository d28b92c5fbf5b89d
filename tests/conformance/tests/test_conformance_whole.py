"""What concerns several keys: revisions, watches and listings are held against each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import Entry, Event, EventKind
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation
from formal_cluster_conformance.linear.whole import (
    Listed,
    events_out_of_order,
    revisions_out_of_order,
    stale_listing,
    told_otherwise,
    torn_listing,
)


def put(number, revision, ending=Ending.DONE, key=b"k", begin=None):
    begin = number * 10 if begin is None else begin
    value = b"v%d" % number
    return Operation(
        number, 0, Kind.PUT, key, begin, begin + 5, ending, value=value, revision=revision
    )


def event(operation, revision=None):
    revision = operation.revision if revision is None else revision
    return Event(EventKind.PUT, operation.key, operation.value, revision)


PUTS = [put(number, number + 1, key=b"k%d" % (number % 3)) for number in range(9)]
EVENTS = [event(operation) for operation in PUTS]


def listed(revision, begin=0.0, end=1e9, leave_out=()):
    entries = {}
    for each in EVENTS:
        if each.revision <= revision:
            entries[each.key] = Entry(each.key, each.value, each.revision)
    kept = tuple(entries[key] for key in sorted(entries) if key not in leave_out)
    return Listed(0, begin, end, kept, revision)


def test_what_agrees_is_not_told():
    assert revisions_out_of_order(PUTS) is None
    assert events_out_of_order(EVENTS) is None
    assert told_otherwise(PUTS, EVENTS) is None
    assert torn_listing([listed(revision) for revision in range(10)], EVENTS) is None
    assert stale_listing([listed(4, begin=36)], PUTS) is None


@pytest.mark.parametrize(
    ("later", "wrong"), [(put(9, 3), "two changes"), (put(9, 0), "had been acknowledged")]
)
def test_a_revision_that_goes_back_or_comes_twice_is_told(later, wrong):
    assert wrong in revisions_out_of_order([*PUTS, later])


def test_changes_that_run_at_the_same_time_may_take_any_order():
    assert revisions_out_of_order([put(0, 2, begin=0), put(1, 1, begin=1)]) is None


@given(st.data())
def test_a_watch_that_drops_repeats_or_swaps_events_is_told(data):
    at = data.draw(st.integers(0, len(EVENTS) - 2))
    dropped = EVENTS[:at] + EVENTS[at + 1 :]
    repeated = EVENTS[: at + 1] + EVENTS[at:]
    swapped = [*EVENTS[:at], EVENTS[at + 1], EVENTS[at], *EVENTS[at + 2 :]]

    assert "the watch lacks" in told_otherwise(PUTS, dropped)
    assert events_out_of_order(repeated) is not None
    assert events_out_of_order(swapped) is not None


@pytest.mark.parametrize("ending", [Ending.REFUSED, Ending.CONFLICT])
def test_what_was_refused_and_is_in_the_watch_is_told(ending):
    refused = put(20, None, ending)

    assert "but the watch has it" in told_otherwise([refused], [event(refused, 50)])


def test_what_has_an_unknown_outcome_may_be_in_the_watch_or_not():
    unknown = put(20, None, Ending.UNKNOWN)

    assert told_otherwise([unknown], [event(unknown, 50)]) is None
    assert told_otherwise([unknown], []) is None


def test_a_change_that_nobody_asked_for_is_told():
    assert "nobody asked for" in told_otherwise([], EVENTS)


@given(st.integers(4, 9), st.sampled_from([b"k0", b"k1", b"k2"]))
def test_a_listing_that_lacks_a_key_is_told(revision, key):
    assert repr(key) in torn_listing([listed(revision, leave_out=[key])], EVENTS)


def test_a_listing_older_than_what_its_caller_knew_is_told():
    assert "revision 9 had been" in stale_listing([listed(4, begin=1_000)], PUTS)
