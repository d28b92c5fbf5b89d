"""The linearizability checker: what could have happened is legal, what could not is not."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formal_cluster.model import Event, EventKind
from formal_cluster_conformance.linear.checker import Verdict, check, search
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation, overlapping
from formal_cluster_conformance.linear.register import ABSENT, step
from formal_cluster_conformance.linear.shrink import shrink
from formal_cluster_conformance.linear.timeline import timeline

KEY = b"k"


def call(number, begin, end, kind, ending=Ending.DONE, **what):
    end = math.inf if ending is Ending.UNKNOWN else end
    return Operation(number, number, kind, KEY, begin, end, ending, **what)


def put(number, begin, end, value, revision=None, **what):
    return call(number, begin, end, Kind.PUT, value=value, revision=revision, **what)


def get(number, begin, end, value, revision):
    return call(number, begin, end, Kind.GET, value=value, revision=revision)


@st.composite
def executions(draw):
    """A sequential execution of a correct store, with each call's interval widened around the
    moment at which it took effect; some calls' outcomes are lost."""
    count = draw(st.integers(1, 12))
    operations, value, revision, latest = [], None, 0, 0
    for number in range(count):
        at = number * 10
        begin = at - draw(st.integers(0, 40))
        end = at + draw(st.integers(0, 40))
        kind = draw(st.sampled_from(list(Kind)))
        condition = draw(st.sampled_from([None, None, revision, revision + 1]))
        lost = draw(st.integers(0, 5)) == 0
        if kind is Kind.GET:
            operations.append(get(number, begin, end, value, revision))
            continue
        written = b"%d" % number if kind is Kind.PUT else None
        changed = False
        if condition is not None and condition != revision:
            told = draw(st.sampled_from([revision, None]))
            ending, result = Ending.CONFLICT, told
        elif kind is Kind.DELETE and value is None:
            ending, result = Ending.DONE, None
        else:
            latest += draw(st.integers(1, 3))
            ending, result, changed = Ending.DONE, latest, True
        if lost:
            ending, result = Ending.UNKNOWN, None
        operations.append(
            call(
                *(number, begin, end, kind, ending),
                value=written,
                revision=result,
                if_revision=condition,
            )
        )
        if changed:
            value, revision = (written, latest) if kind is Kind.PUT else (None, 0)
    return operations


@settings(deadline=None)
@given(executions(), st.randoms())
def test_whatever_a_correct_store_did_is_legal_in_whatever_order_it_is_recorded(history, dice):
    dice.shuffle(history)

    assert Verdict.OK is check(history).verdict


@settings(deadline=None)
@given(executions())
def test_a_legal_order_is_told_and_is_legal(history):
    order = check(history).order

    state, by_number = ABSENT, {op.number: op for op in history}
    for number in order:
        state = step(state, by_number[number])
        assert state is not None
    assert {op.number for op in history if not op.is_open} <= set(order)


def possible(history):
    """Whether there is an order, by trying all of them."""
    closed = {op.number for op in history if not op.is_open}
    for size in range(len(closed), len(history) + 1):
        for order in itertools.permutations(history, size):
            if not closed <= {op.number for op in order}:
                continue
            if any(b.end < a.begin for a, b in itertools.combinations(order, 2)):
                continue
            if any(left.end < op.begin for left in history if left not in order for op in order):
                continue
            state = ABSENT
            for op in order:
                state = step(state, op)
                if state is None:
                    break
            else:
                return True
    return False


@st.composite
def anything(draw):
    """A small history that need not be possible."""
    history = []
    for number in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, 8))
        end = begin + draw(st.integers(0, 5))
        kind = draw(st.sampled_from(list(Kind)))
        revision = draw(st.integers(0, 3))
        value = draw(st.sampled_from([b"x", b"y"])) if kind is not Kind.DELETE else None
        ending = draw(st.sampled_from([Ending.DONE, Ending.DONE, Ending.CONFLICT, Ending.UNKNOWN]))
        if kind is Kind.GET:
            ending, value = Ending.DONE, value if revision else None
        elif ending is Ending.DONE:
            revision = revision or (None if kind is Kind.DELETE else 1)
        elif ending is Ending.UNKNOWN:
            revision = None
        condition = None if kind is Kind.GET else draw(st.sampled_from([None, 0, 1, 2]))
        history.append(
            call(
                *(number, begin, end, kind, ending),
                value=value,
                revision=revision,
                if_revision=condition if ending is not Ending.CONFLICT else condition or 0,
            )
        )
    return history


@settings(deadline=None)
@given(anything())
def test_it_finds_what_trying_all_orders_finds(history):
    assert possible(history) is (check(history).verdict is Verdict.OK)


@settings(deadline=None)
@given(anything())
def test_what_is_left_of_an_illegal_history_is_illegal_and_a_part_of_it(history):
    if check(history).verdict is not Verdict.ILLEGAL:
        return
    smallest = shrink(history)

    assert Verdict.ILLEGAL is check(smallest).verdict
    assert {op.number for op in smallest} <= {op.number for op in history}


@settings(deadline=None)
@given(executions(), st.integers(0, 11))
def test_a_read_of_what_has_been_overwritten_is_illegal(history, at):
    after = 1_000
    written = [put(100, after, after + 1, b"old", 500), put(101, after + 2, after + 3, b"new", 501)]
    stale = get(102, after + 4, after + 5, b"old", 500)

    assert Verdict.OK is check([*history, *written]).verdict
    assert Verdict.ILLEGAL is check([*history, *written, stale]).verdict


PLANTED = {
    "a lost update": [
        put(0, 0, 1, b"a", 1),
        put(1, 2, 5, b"b", 2, if_revision=1),
        put(2, 3, 6, b"c", 3, if_revision=1),
    ],
    "a write that was refused and is read": [
        put(0, 0, 1, b"a", 1),
        put(1, 2, 3, b"b", ending=Ending.REFUSED),
        get(2, 4, 5, b"b", 2),
    ],
    "a read before the write": [get(0, 0, 1, b"a", 1), put(1, 2, 3, b"a", 1)],
    "a deleted key that is read": [
        put(0, 0, 1, b"a", 1),
        call(1, 2, 3, Kind.DELETE, revision=2),
        get(2, 4, 5, b"a", 1),
    ],
    "a conflict that tells a revision that never was": [
        put(0, 0, 1, b"a", 5),
        put(1, 2, 3, b"b", 3, ending=Ending.CONFLICT, if_revision=1),
    ],
    "a revision that goes back": [put(0, 0, 1, b"a", 5), put(1, 2, 3, b"b", 4)],
    "two reads that saw two orders": [
        put(0, 0, 10, b"a", 1),
        put(1, 0, 10, b"b", 2),
        get(2, 11, 12, b"b", 2),
        get(3, 13, 14, b"a", 1),
    ],
    "an unknown write that is read, gone, and read again": [
        put(0, 0, 1, b"a", 1),
        put(1, 2, 3, b"b", ending=Ending.UNKNOWN),
        get(2, 4, 5, b"b", 2),
        get(3, 6, 7, b"a", 1),
    ],
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_anomaly_is_illegal(name):
    assert Verdict.ILLEGAL is check(PLANTED[name]).verdict


def test_a_write_of_unknown_outcome_may_take_effect_late_or_never():
    open_put = put(0, 0, 1, b"a", ending=Ending.UNKNOWN)

    assert Verdict.OK is check([open_put, get(1, 2, 3, None, 0), get(2, 4, 5, b"a", 7)]).verdict
    assert Verdict.OK is check([open_put, get(1, 2, 3, None, 0)]).verdict


def test_a_search_that_is_given_up_says_so():
    dice = random.Random(1)
    history = [put(n, 0, 100, b"%d" % n, dice.randrange(1_000)) for n in range(12)]

    assert Verdict.UNKNOWN is search(history, ABSENT, step, budget=5).verdict


def test_many_calls_of_unknown_outcome_are_placed_without_trying_every_combination():
    dice = random.Random(1)
    history, value, revision = [], None, 0
    for number in range(600):
        begin, end = number - dice.randrange(8), number + dice.randrange(8)
        lost = dice.random() < 0.15
        if dice.random() < 0.4:
            history.append(get(number, begin, end, value, revision))
        elif dice.random() < 0.3:
            ending, told = (Ending.UNKNOWN, None) if lost else (Ending.CONFLICT, revision)
            history.append(put(number, begin, end, b"", told, ending=ending, if_revision=10**6))
        else:
            value, revision = b"%d" % number, number + 1
            ending, told = (Ending.UNKNOWN, None) if lost else (Ending.DONE, revision)
            history.append(put(number, begin, end, value, told, ending=ending))

    judgement = check(history)

    assert sum(op.is_open for op in history) > 50
    assert Verdict.OK is judgement.verdict
    assert judgement.looked_at < 5 * len(history)


@st.composite
def sightings(draw):
    """What a watch might say, right or wrong."""
    kinds, revisions = st.sampled_from(list(EventKind)), st.integers(1, 6)
    return [
        Event(
            kind, KEY, b"" if kind is EventKind.DELETE else draw(st.sampled_from([b"x", b"y"])), at
        )
        for kind, at in draw(st.lists(st.tuples(kinds, revisions), max_size=4))
    ]


@settings(deadline=None)
@given(anything(), sightings())
def test_a_watch_that_may_be_wrong_changes_no_verdict(history, events):
    assert possible(history) is (check(history, events=events).verdict is Verdict.OK)


def test_with_a_watch_deletions_of_unknown_outcome_need_no_guessing():
    dice = random.Random(1)
    history, events, value, revision = [], [], None, 0
    for number in range(600):
        begin, end = number - dice.randrange(8), number + dice.randrange(8)
        lost = dice.random() < 0.3
        if dice.random() < 0.4:
            history.append(get(number, begin, end, value, revision))
        elif value is not None and dice.random() < 0.5:
            value, revision = None, 0
            ending, told = (Ending.UNKNOWN, None) if lost else (Ending.DONE, number + 1)
            history.append(call(number, begin, end, Kind.DELETE, ending, revision=told))
            events.append(Event(EventKind.DELETE, KEY, b"", number + 1))
        else:
            value, revision = b"%d" % number, number + 1
            ending, told = (Ending.UNKNOWN, None) if lost else (Ending.DONE, revision)
            history.append(put(number, begin, end, value, told, ending=ending))
            events.append(Event(EventKind.PUT, KEY, value, revision))

    judgement = check(history, events=events)

    assert sum(op.is_open for op in history) > 80
    assert Verdict.OK is judgement.verdict
    assert judgement.looked_at < 5 * len(history)
    assert Verdict.UNKNOWN is check(history, budget=20 * len(history)).verdict


def test_what_was_read_of_a_lost_write_cannot_be_read_away_again():
    lost = put(0, 0, 1, b"a", ending=Ending.UNKNOWN)
    read, overwritten = get(1, 2, 3, b"a", 5), put(2, 4, 5, b"b", 6)

    assert Verdict.OK is check([lost, read, overwritten]).verdict
    assert Verdict.ILLEGAL is check([lost, read, overwritten, get(3, 6, 7, b"a", 5)]).verdict
    assert Verdict.ILLEGAL is check([lost, put(4, 4, 5, b"c", 4), read]).verdict


def test_a_counterexample_is_small_and_drawn():
    noise = [put(n, n, n + 0.5, b"n%d" % n, n) for n in range(1, 100)]
    noise += [get(n + 200, n + 0.6, n + 0.7, b"n%d" % n, n) for n in range(1, 100)]
    stale = get(400, 101, 102, b"n98", 98)

    smallest = shrink([*noise, stale])
    drawn = timeline(smallest)

    assert [98, 99, 400] == sorted(op.number for op in smallest)
    expected = 3
    assert expected == len(drawn.splitlines())
    assert 'get -> "n98" at revision 98' in drawn
    assert "├" in drawn


def test_calls_count_as_overlapping_only_on_one_key_and_at_one_time():
    apart = [put(0, 0, 1, b"", 1), put(1, 2, 3, b"", 2)]
    together = [put(0, 0, 2, b"", 1), put(1, 1, 3, b"", 2)]
    elsewhere = [together[0], together[1]._replace(key=b"other")]

    assert [0, 2, 0] == [overlapping(history) for history in (apart, together, elsewhere)]
