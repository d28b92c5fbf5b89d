"""What is re-appended after a store loss is merged: never too little, never twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import given

from formal_cluster.counters.floors import lacking, merged
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.held import Held
from formal_cluster.counters.records import Batch, Birth, Memory, Row, decode, encode
from formal_cluster.counters.restoration import AWAITED_MS, MARGIN_MS
from formal_cluster.counters.windows import Hits, HitsData, Resolution
from formal_cluster.model import CounterKey

MINUTE = 60_000
FOREVER = 1 << 62
RESOLUTION = Resolution([MINUTE])
EXACT = 4

exact_records = st.dictionaries(st.integers(0, 30), st.integers(1, 3), max_size=20).map(
    lambda hits: HitsData([], sorted(hits), [hits[at] for at in sorted(hits)])
)
"""Hits kept one by one."""
times = st.lists(st.integers(0, 400), max_size=60).map(
    lambda gaps: [sum(gaps[: n + 1]) for n in range(len(gaps))]
)
"""Of hits in the order in which they happened."""


def record_of(hits: Sequence[int], exact: int = EXACT) -> HitsData:
    """As the fold keeps them, older ones in spans."""
    record = Hits()
    for at in hits:
        record.add(at, 1, at, RESOLUTION, exact)
    return record.data(-1)


def count(data: HitsData, after: int) -> int:
    return Hits.restore(data).count(after)


def as_dict(data: HitsData) -> dict[int, int]:
    return dict(zip(data.lasts, data.counts, strict=True))


@given(exact_records, exact_records)
def test_of_hits_kept_one_by_one_the_larger_number_of_each_time_stays(
    one: HitsData, other: HitsData
) -> None:
    both = as_dict(one).keys() | as_dict(other).keys()

    result = merged(one, other, FOREVER)

    assert {at: max(as_dict(one).get(at, 0), as_dict(other).get(at, 0)) for at in both} == as_dict(
        result
    )
    assert result.firsts == []
    assert result == merged(other, one, FOREVER)
    assert result == merged(result, other, FOREVER)


@given(exact_records, exact_records, exact_records)
def test_the_order_of_floors_does_not_matter(
    held: HitsData, one: HitsData, other: HitsData
) -> None:
    assert merged(merged(held, one, FOREVER), other, FOREVER) == merged(
        merged(held, other, FOREVER), one, FOREVER
    )


@given(times, times, st.integers(1, 8))
def test_rounded_records_merge_to_no_less_than_either_and_once(
    one: list[int], other: list[int], exact: int
) -> None:
    held, floor = record_of(one), record_of(other, exact)

    result = merged(held, floor, FOREVER)

    for after in range(-1, max([0, *one, *other]) + 1, 7):
        assert count(result, after) >= max(count(held, after), count(floor, after))
    assert sum(result.counts) <= sum(held.counts) + sum(floor.counts)
    assert lacking(result, floor, FOREVER).lasts == []
    assert as_dict(result) == as_dict(merged(result, floor, FOREVER))
    assert sorted(result.lasts) == result.lasts


@given(times, st.data())
def test_memories_of_one_log_merge_to_what_the_log_was(log: list[int], data: st.DataObject) -> None:
    """The store's copy, hits appended to it since, and two instances that had folded further."""
    lengths = st.integers(0, len(log))
    copied, first, second = (data.draw(lengths) for _ in range(3))
    until = log[-1] + 1 if log else 0
    since = [until + gap for gap in data.draw(times)]
    held = Hits.restore(record_of(log[:copied]))
    for at in since:
        held.add(at + 1, 1, at + 1, RESOLUTION, EXACT)
    true = log[: max(copied, first, second)] + [at + 1 for at in since]

    result = held.data(-1)
    for remembered in (first, second, first):
        result = merged(result, record_of(log[:remembered]), until)

    for after in range(-1, max([0, *true]) + 1, 7):
        assert count(result, after) >= sum(at > after for at in true)
    if not result.firsts:
        assert sum(result.counts) == len(true)


@given(times, times)
def test_what_is_lacking_is_as_good_as_all_of_it(one: list[int], other: list[int]) -> None:
    held, floor = record_of(one), record_of(other)

    part = lacking(held, floor, FOREVER)

    assert as_dict(merged(held, part, FOREVER)) == as_dict(merged(held, floor, FOREVER))


class Writer(NamedTuple):
    """Appends to a state as to a log, through the wire."""

    state: State
    name: str

    def append(self, seq: int, proposed: int, **content: object) -> None:
        batch = Batch(epoch=1, seq=seq, proposed=proposed, wall=proposed + 7, **content)  # type: ignore[arg-type]
        self.state.apply(Record(self.name, decode(encode(batch)), self.state.revision + 1))


def state(max_subjects: int = 100) -> State:
    return State(exact_entries=64, max_subjects=max_subjects)


ALICE = CounterKey("reads", ("alice",))
BOB = CounterKey("reads", ("bob",))
START = 1_700_000_000_000


def hits_of(folded: State, key: CounterKey) -> dict[int, int]:
    hits = folded.find(key)
    return as_dict(hits.data(0)) if hits is not None else {}


def rows(until: int, *hits: tuple[CounterKey, int]) -> list[Row]:
    return [Row(key.counter, key.subject, [], [until - at], [1]) for key, at in hits]


def test_a_hit_of_the_time_of_one_before_the_loss_is_not_taken_for_it() -> None:
    folded = state()
    Writer(folded, "").append(1, START, birth=Birth(cluster=None, awaited=["x", "y"]))
    Writer(folded, "x").append(1, START, keys=[ALICE], hits=[(0, 1, 50)])
    memory = Memory(life=1, more=False, until=START, rows=rows(START, (ALICE, START - 50)))

    Writer(folded, "y").append(1, START, memory=memory)
    Writer(folded, "x").append(2, START, memory=memory)

    assert hits_of(folded, ALICE) == {START - 50: 1, START + MARGIN_MS + 1: 1}


def test_a_refund_finds_a_hit_that_counts_as_later() -> None:
    folded = state()
    Writer(folded, "").append(1, START, birth=Birth(cluster=None, awaited=["x"]))
    Writer(folded, "x").append(1, START, keys=[ALICE], strict=[[0]])
    stamp = folded.stamp

    Writer(folded, "x").append(2, START + 5, keys=[ALICE], refunds=[(0, 1, stamp)])

    assert hits_of(folded, ALICE) == {}


def test_what_was_written_since_the_loss_counts_beside_what_is_remembered() -> None:
    before, since = state(), state()
    Writer(before, "x").append(1, START, keys=[ALICE], hits=[(0, 1, 0)])
    held = Held()
    held.put_aside(before)

    Writer(since, "x").append(2, START + 100, keys=[ALICE], hits=[(0, 1, 0)])
    Writer(since, "").append(1, START + 200, birth=Birth(cluster=None, awaited=["x"]))

    assert held.count(ALICE, START - MINUTE, since) == 2


def test_what_had_expired_is_not_put_back() -> None:
    folded = state()
    memory = Memory(life=0, more=False, until=START, rows=rows(START, (ALICE, START - MINUTE)))

    Writer(folded, "x").append(1, START, memory=memory)

    assert len(folded.subjects) == 0


def test_beyond_the_subject_cap_floors_are_added_to_the_shared_record() -> None:
    folded = state(max_subjects=1)
    Writer(folded, "x").append(1, START, keys=[ALICE], hits=[(0, 1, 0)])
    shared = Row("reads", None, [], [0], [2])
    memory = Memory(life=0, more=False, until=START, rows=[*rows(START, (BOB, START)), shared])

    Writer(folded, "y").append(1, START, memory=memory)

    hits = folded.find(BOB)
    assert hits is not None
    assert hits.count(START - 1) == 3


def test_everybody_known_is_awaited_until_heard_or_silent_for_long() -> None:
    folded = state()
    awaits = folded.restoration
    Writer(folded, "").append(1, START, birth=Birth(cluster=None, awaited=["x", "y", "z"]))
    Writer(folded, "x").append(1, START, memory=Memory(life=1, more=False))
    assert awaits.awaited.keys() == {"y", "z"}

    Writer(folded, "y").append(1, START + 4_000, memory=Memory(life=1, more=True))
    assert not awaits.over(START + AWAITED_MS)
    Writer(folded, "x").append(2, START + AWAITED_MS)
    assert awaits.awaited.keys() == {"y"}
    Writer(folded, "y").append(2, START + AWAITED_MS, memory=Memory(life=1, more=False))

    assert awaits.over(START + AWAITED_MS)


def test_a_writer_that_has_not_noticed_the_loss_is_still_awaited() -> None:
    folded = state()
    Writer(folded, "").append(1, START, birth=Birth(cluster=None, awaited=["x"]))

    Writer(folded, "x").append(1, START)
    Writer(folded, "x").append(2, START, memory=Memory(life=9, more=False))

    assert not folded.restoration.over(START)


def test_while_nobody_knows_the_time_nobody_is_given_up() -> None:
    folded = state()
    Writer(folded, "").append(1, START, sync=True, birth=Birth(cluster=None, awaited=["x"]))
    Writer(folded, "y").append(1, START + 2 * AWAITED_MS)

    assert not folded.restoration.over(START + 2 * AWAITED_MS)
    assert folded.restoration.over(START + 3 * AWAITED_MS)


def test_the_beginning_of_the_first_life_awaits_nobody() -> None:
    folded = state()

    Writer(folded, "").append(1, START, birth=Birth(cluster="c", awaited=[]))

    assert folded.restoration.over(START)
    assert folded.stamp == START
