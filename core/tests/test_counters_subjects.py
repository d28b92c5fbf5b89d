"""Which subjects are packed, when, and for how long never shows in a count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.frozen import Part, freeze, thaw
from formal_cluster.counters.packing import (
    oldest_kept,
    pack_hits,
    pack_subject,
    unpack_hits,
    unpack_subject,
)
from formal_cluster.counters.records import Batch, Memory, Row, decode, encode
from formal_cluster.counters.snapshot import (
    VERSION,
    decode_head,
    encode_chunks,
    encode_head,
    restore_chunk,
    restore_head,
)
from formal_cluster.counters.subjects import Subjects
from formal_cluster.counters.windows import Hits, HitsData, Resolution
from formal_cluster.model import CounterKey

MINUTE = 60_000
WINDOWS = (1_000, 10_000, MINUTE)
EXACT = 3
KEYS = [CounterKey(counter, (user,)) for counter in ("reads", "writes") for user in "abc"]
times = st.integers(-(1 << 40), 1 << 42)


@st.composite
def records(draw: st.DrawFn) -> Hits:
    """Any content that a record of hits can have."""
    bounds = sorted(draw(st.lists(times, max_size=30, unique=True)))
    spans = draw(st.integers(0, len(bounds) // 2))
    lasts = bounds[1 : 2 * spans : 2] + bounds[2 * spans :]
    counts = draw(st.lists(st.integers(1, 300), min_size=len(lasts), max_size=len(lasts)))
    if draw(st.booleans()):
        counts = [1] * len(counts)
    return Hits.restore(HitsData(bounds[0 : 2 * spans : 2], lasts, counts))


@settings(deadline=None)
@given(records(), times)
def test_packed_hits_are_the_same_hits(hits: Hits, now: int) -> None:
    packed = pack_hits(hits)
    again = unpack_hits(packed)

    assert hits.data(-(1 << 60)) == again.data(-(1 << 60))
    assert hits.total == again.total
    assert pack_hits(again) == packed
    assert (hits.newest is None or hits.newest <= now) == (packed < oldest_kept(now))


@settings(deadline=None)
@given(st.lists(st.text(), max_size=4).map(tuple))
def test_packed_subjects_are_the_same_subjects(subject: tuple[str, ...]) -> None:
    assert subject == unpack_subject(pack_subject(subject))


def test_a_subject_with_six_hits_in_a_minute_takes_less_than_64_bytes() -> None:
    hits, resolution = Hits(), Resolution([MINUTE])
    for number in range(6):
        at = 1_700_000_000_000 + number * 11_000
        hits.add(at, 1, at, resolution, EXACT * 2)

    assert len(pack_hits(hits)) + b"".__sizeof__() <= 64


def test_a_subject_with_three_hits_in_a_minute_takes_48_bytes() -> None:
    hits, resolution = Hits(), Resolution([MINUTE])
    for number in range(3):
        at = 1_700_000_000_000 + number * 25_000
        hits.add(at, 1, at, resolution, EXACT * 2)

    assert len(pack_hits(hits)) + b"".__sizeof__() <= 48


def test_no_more_subjects_are_hot_than_may_be() -> None:
    subjects = Subjects(most_hot=3)
    for number in range(100):
        key = CounterKey("reads", (str(number),))
        subjects.add(key, Hits())
        assert subjects.change(key) is not None
        assert subjects.change(CounterKey("reads", (str(number // 2),))) is not None
        assert len(subjects.hot) <= 3

    assert len(subjects) == 100


def test_a_subject_that_is_not_text_has_no_hits() -> None:
    folded = State(exact_entries=EXACT, max_subjects=10)
    append(folded, 1, keys=KEYS, hits=[(0, 1, 0)])

    assert folded.find(CounterKey("reads", ("\ud800",))) is None


def append(into: State, seq: int, *, proposed: int = MINUTE * 100, **content: object) -> None:
    """Fold one writer's batches, as they come from the wire: states share no lists."""
    batch = Batch(epoch=1, seq=seq, proposed=proposed, wall=proposed, **content)  # type: ignore[arg-type]
    into.apply(Record("x", decode(encode(batch)), seq))


def joiner(old: State, most_hot: int) -> State:
    """A state that was loaded from a snapshot of `old`."""
    new = State(exact_entries=EXACT, max_subjects=100, most_hot=most_hot)
    frozen = freeze(old)
    chunks = list(encode_chunks(frozen))
    thaw(old)
    restore_head(decode_head(encode_head(frozen, "id", len(chunks))), new)
    for chunk in chunks:
        restore_chunk(chunk, VERSION, new)
    return new


class TiersMachine(RuleBasedStateMachine):
    """One state has room for one hot subject, the other for all, and both are of the same log."""

    def __init__(self) -> None:
        super().__init__()
        self.tight, self.roomy = (
            State(exact_entries=EXACT, max_subjects=100, most_hot=most_hot) for most_hot in (1, 100)
        )
        self.now, self.seq = MINUTE * 100, 0
        self.naive: list[tuple[CounterKey, int, list[int]]] = []
        self.parts: Iterator[Part] | None = None
        self.read: list[Part] = []
        windows = [(key.counter, length) for key in KEYS[::3] for length in WINDOWS]
        self._append(windows=windows)

    @rule(
        pause=st.sampled_from([0, 1, 40, 900, 7_000, 61_000]),
        who=st.lists(st.integers(0, len(KEYS) - 1), min_size=1, max_size=4),
        count=st.integers(1, 3),
        age=st.sampled_from([0, 0, 3, 500, 30_000, 59_999]),
    )
    def hit(self, pause: int, who: list[int], count: int, age: int) -> None:
        self.now += pause
        self.naive += [(KEYS[index], self.now - age, [count]) for index in who]
        self._append(hits=[(index, count, age) for index in who])

    @rule(who=st.integers(0, len(KEYS) - 1), pause=st.integers(0, 300), hits=st.integers(5, 60))
    def burst(self, who: int, pause: int, hits: int) -> None:
        """So many that the older ones become spans."""
        for _ in range(hits):
            self.hit(pause, [who], 1, 0)

    @precondition(lambda self: self.naive)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        key, at, count = data.draw(st.sampled_from(self.naive))
        if at > self.now - MINUTE and count[0]:
            count[0] -= 1
            self._append(refunds=[(KEYS.index(key), 1, at)])

    @rule(who=st.integers(0, len(KEYS) - 1), age=st.integers(0, 59_000), count=st.integers(1, 3))
    def floor(self, who: int, age: int, count: int) -> None:
        """Something from before a store loss; with no restoration under way it comes on top."""
        key = KEYS[who]
        self.naive.append((key, self.now - age, [count]))
        row = Row(key.counter, key.subject, [], [age], [count])
        self._append(memory=Memory(life=0, more=False, until=self.now, rows=[row]))

    @rule()
    def join(self) -> None:
        if self.parts is None:
            self.tight = joiner(self.tight, most_hot=1)

    @precondition(lambda self: self.parts is None)
    @rule()
    def freeze(self) -> None:
        frozen = freeze(self.roomy)
        self.frozen_at, self.expected = self.now, list(frozen.parts())
        thaw(self.roomy)
        self.parts, self.read = freeze(self.tight).parts(), []

    @precondition(lambda self: self.parts is not None)
    @rule(steps=st.integers(1, 4))
    def read_on(self, steps: int) -> None:
        assert self.parts is not None
        some = list(islice(self.parts, steps))
        self.read += some
        if len(some) < steps:
            thaw(self.tight)
            self.parts = None
            assert self._content(self.expected) == self._content(self.read)

    @invariant()
    def both_count_the_same_and_not_less_than_there_was(self) -> None:
        for key in KEYS:
            tight, roomy = self.tight.find(key), self.roomy.find(key)
            for length in WINDOWS:
                after = self.now - length
                true = sum(count[0] for k, at, count in self.naive if k == key and at > after)
                counted = tight.count(after) if tight is not None else 0
                assert counted == (roomy.count(after) if roomy is not None else 0)
                assert counted >= true
                rounded = tight is not None and tight.doubtful(after)
                assert rounded == (roomy is not None and roomy.doubtful(after))
                assert rounded or counted == true

    @invariant()
    def one_is_hot(self) -> None:
        assert len(self.tight.hot) <= 1

    def _append(self, **content: object) -> None:
        self.seq += 1
        for folded in (self.tight, self.roomy):
            append(folded, self.seq, proposed=self.now, keys=KEYS, **content)

    def _content(self, parts: list[Part]) -> dict[object, HitsData]:
        return {
            (part.counter, subject): unpack_hits(packed).data(self.frozen_at - MINUTE)
            for part in parts
            for subject, packed in part.hits.items()
        }


TiersMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestWhatIsHotNeverShows = TiersMachine.TestCase
