"""The record of one subject's hits against a list of every hit."""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from formal_cluster.counters.windows import SPANS_PER_WINDOW, Hits, Resolution

EXACT = 8
MOST_SINGLE = EXACT + EXACT // 4
RESOLUTION = Resolution([1_000, 60_000, 600_000])
UNASKED = (50, 7_777, 300_000)


@dataclass
class Naive:
    """Remembers every hit for ever."""

    hits: list[list[int]] = field(default_factory=list)

    def add(self, at: int, count: int) -> None:
        self.hits.append([at, count])

    def count(self, after: int) -> int:
        return sum(count for at, count in self.hits if at > after)

    def entries(self, after: int) -> int:
        return len({at for at, count in self.hits if at > after and count})


class HitsMachine(RuleBasedStateMachine):
    """Adds, late adds and refunds at an advancing clock, with every window looked at after each."""

    def __init__(self) -> None:
        super().__init__()
        self.hits, self.naive, self.now = Hits(), Naive(), 1_000_000

    @rule(pause=st.sampled_from([0, 1, 3, 17, 400, 5_000, 61_000]), count=st.integers(1, 3))
    def hit(self, pause: int, count: int) -> None:
        self.now += pause
        self._add(self.now, count)

    @rule(pause=st.integers(0, 40), times=st.integers(10, 150))
    def burst(self, pause: int, times: int) -> None:
        for _ in range(times):
            self.now += pause
            self._add(self.now, 1)

    @rule(age=st.integers(1, 599_999), count=st.integers(1, 3))
    def late_hit(self, age: int, count: int) -> None:
        self._add(self.now - age, count)

    @precondition(lambda self: self.naive.hits)
    @rule(data=st.data(), count=st.integers(1, 5))
    def refund(self, data: st.DataObject, count: int) -> None:
        hit = data.draw(st.sampled_from(self.naive.hits))
        count = min(count, hit[1])
        hit[1] -= count
        if count:
            self.hits.refund(hit[0], count)

    @rule()
    def copy_through_data(self) -> None:
        self.hits = Hits.restore(self.hits.data(self.now - RESOLUTION.keep))

    @invariant()
    def never_undercounts(self) -> None:
        for length in (*RESOLUTION.lengths, *UNASKED):
            assert self.hits.count(self.now - length) >= self.naive.count(self.now - length)

    @invariant()
    def counts_nothing_older_than_a_sixtieth_more(self) -> None:
        for length in RESOLUTION.lengths:
            oldest = self.now - length - length // SPANS_PER_WINDOW - 1
            assert self.hits.count(self.now - length) <= self.naive.count(oldest)

    @invariant()
    def exact_unless_it_says_otherwise(self) -> None:
        for length in (*RESOLUTION.lengths, *UNASKED):
            after = self.now - length
            if not self.hits.doubtful(after):
                assert self.hits.count(after) == self.naive.count(after)

    @invariant()
    def leaves_out_what_may_be_older_to_be_certain_of_the_rest(self) -> None:
        for length in (*RESOLUTION.lengths, *UNASKED):
            after = self.now - length
            certain = self.hits.count(after) - self.hits.doubtful(after)
            assert certain <= self.naive.count(after)

    @invariant()
    def all_count_since_the_oldest(self) -> None:
        after = self.hits.since - 1
        assert (self.hits.total, 0) == (self.hits.count(after), self.hits.doubtful(after))

    @invariant()
    def size_is_bounded(self) -> None:
        _, lasts, _ = self.hits.data(-1)
        assert len(lasts) <= RESOLUTION.most_spans + MOST_SINGLE

    def _add(self, at: int, count: int) -> None:
        self.hits.add(at, count, self.now, RESOLUTION, EXACT)
        self.naive.add(at, count)


HitsMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestHitsAgainstEveryHit = HitsMachine.TestCase


@given(
    pauses=st.lists(st.integers(0, 30_000), min_size=1, max_size=EXACT),
    length=st.integers(1, 600_000),
)
def test_as_many_entries_as_are_kept_exactly_are_never_rounded(
    pauses: list[int], length: int
) -> None:
    hits, naive, now = Hits(), Naive(), 1_000_000
    for pause in pauses:
        now += pause
        hits.add(now, 1, now, RESOLUTION, EXACT)
        naive.add(now, 1)

    assert not hits.doubtful(now - length)
    assert naive.count(now - min(length, RESOLUTION.keep)) == hits.count(
        now - min(length, RESOLUTION.keep)
    )


def test_a_hit_counts_until_the_window_has_passed_and_not_one_millisecond_longer() -> None:
    hits = Hits()
    hits.add(10_000, 1, 10_000, RESOLUTION, EXACT)

    assert hits.count(after=10_999 - 1_000) == 1
    assert hits.count(after=11_000 - 1_000) == 0


def test_a_late_backlog_does_not_grow_the_record() -> None:
    hits, now = Hits(), 1_000_000
    for at in range(now - 50_000, now, 1_000):
        hits.add(at, 1, now, RESOLUTION, EXACT)
    for at in range(now - 500_000, now - 50_000, 100):
        hits.add(at, 1, now, RESOLUTION, EXACT)

    assert hits.total == 4_550
    assert len(hits.data(0).lasts) <= RESOLUTION.most_spans + MOST_SINGLE


def test_a_window_asked_for_later_finds_all_that_is_kept() -> None:
    hits, naive, now = Hits(), Naive(), 1_000_000
    for _ in range(5_000):
        now += 20
        hits.add(now, 1, now, RESOLUTION, EXACT)
        naive.add(now, 1)
    asked_later = RESOLUTION.with_length(30_000)
    hits.add(now, 1, now, asked_later, EXACT)
    naive.add(now, 1)

    assert hits.count(now - 30_000) >= naive.count(now - 30_000)
    assert hits.count(now - 30_000) <= naive.count(now - 31_001)


def test_more_is_taken_back_than_was_there_leaves_zero() -> None:
    hits = Hits()
    hits.add(5, 2, 5, RESOLUTION, EXACT)

    hits.refund(5, 9)

    assert hits.count(0) == 0
    assert hits.total == 0
    assert hits.newest is None


def test_a_refund_of_what_has_expired_takes_nothing_else() -> None:
    hits = Hits()
    hits.add(5, 1, 5, RESOLUTION, EXACT)
    late = 5 + RESOLUTION.keep + 100
    hits.add(late, 1, late, RESOLUTION, EXACT)

    hits.refund(5, 1)

    assert hits.total == 1


def test_hits_of_one_millisecond_share_an_entry() -> None:
    hits = Hits()
    for _ in range(10_000):
        hits.add(7, 1, 7, RESOLUTION, EXACT)

    assert hits.data(0).lasts == [7]
    assert hits.count(0) == 10_000
