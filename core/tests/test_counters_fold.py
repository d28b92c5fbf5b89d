"""Every reader of one log holds the same, whichever way it came to it."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings

from formal_cluster.counters.fold import Gap, Record, State
from formal_cluster.counters.frozen import Frozen, freeze, thaw
from formal_cluster.counters.packing import unpack_hits, unpack_subject
from formal_cluster.counters.records import Batch, MalformedRecord, decode, encode
from formal_cluster.counters.snapshot import (
    CHUNK_BYTES,
    decode_head,
    encode_chunks,
    encode_head,
    restore_chunk,
    restore_head,
)
from formal_cluster.counters.windows import HitsData
from formal_cluster.model import CounterKey

KEYS = [CounterKey("reads", (user, "bucket")) for user in "abcde"]
MINUTE = 60_000
START = 1_700_000_000_000


def state(max_subjects: int = 100, most_hot: int = 100) -> State:
    return State(exact_entries=4, max_subjects=max_subjects, most_hot=most_hot)


def batch(seq: int, proposed: int, *, epoch: int = 1, **content: object) -> Batch:
    return Batch(epoch=epoch, seq=seq, proposed=proposed, wall=proposed, keys=KEYS, **content)  # type: ignore[arg-type]


def fold(into: State, writer: str, record: Batch, revision: int) -> bool:
    """As the ledger does it: through the wire, and only what follows."""
    record = decode(encode(record))
    if not into.follows(Record(writer, record, revision)):
        return False
    into.apply(Record(writer, record, revision))
    return True


def content(of: State) -> object:
    """Everything about a state that a count or a later fold depends on."""
    frozen = freeze(of)
    parts = view(frozen)
    thaw(of)
    return (
        (of.log_time, of.wall, of.writers, parts),
        {name: windows.lengths for name, windows in of.resolutions.items()},
    )


def view(frozen: Frozen) -> dict[object, HitsData]:
    """A frozen view's subjects and cells, and their hits that count."""
    return {
        (part.shared, part.counter, unpack_subject(subject)): unpack_hits(packed).data(
            frozen.log_time - MINUTE
        )
        for part in frozen.parts()
        for subject, packed in part.hits.items()
    }


def lasts(of: State, key: CounterKey) -> list[int]:
    """The times of a subject's hits."""
    hits = of.find(key)
    return hits.data(0).lasts if hits else []


def snapshot_of(old: State) -> State:
    """What a joiner loads."""
    frozen = freeze(old)
    chunks = list(encode_chunks(frozen))
    head = decode_head(encode_head(frozen, "id", len(chunks)))
    thaw(old)
    new = state()
    restore_head(head, new)
    for chunk in chunks:
        restore_chunk(chunk, head.version, new)
    return new


@dataclass
class Log:
    """A random log of three writers: (writer, batch) in order of revision."""

    records: list[tuple[str, Batch]]


def random_log(length: int, seed: int) -> Log:
    """Drawing each part through Hypothesis would take longer than all the folding."""
    draw = random.Random(seed)
    seqs = dict.fromkeys("xyz", 0)
    now = START
    records: list[tuple[str, Batch]] = []
    strict_hits: list[tuple[int, int]] = []
    for _ in range(length):
        writer = draw.choice("xyz")
        seqs[writer] += 1
        now += draw.choice([0, 5, 900, 20_000])
        strict = [draw.sample(range(len(KEYS)), 2) for _ in range(draw.randrange(4))]
        refunds = []
        if strict_hits and draw.random() < 0.5:
            index, at = strict_hits.pop(0)
            refunds.append((index, 1, at))
        strict_hits.extend((index, now) for indices in strict for index in indices)
        record = batch(
            seqs[writer],
            now,
            lag=draw.choice([0, 0, 30]),
            windows=[] if records else [("reads", 10_000), ("reads", MINUTE)],
            hits=[
                (draw.randrange(len(KEYS)), draw.randint(1, 3), draw.randrange(5_000))
                for _ in range(draw.randrange(6))
            ],
            strict=strict,
            refunds=refunds,
        )
        records.append((writer, record))
    return Log(records)


def logs() -> st.SearchStrategy[Log]:
    return st.builds(random_log, length=st.integers(1, 30), seed=st.integers(0, 2**32))


@settings(deadline=None)
@given(logs())
def test_two_readers_of_one_log_hold_the_same(log: Log) -> None:
    one, other = state(), state()
    for reader in (one, other):
        for revision, (writer, record) in enumerate(log.records, 1):
            assert fold(reader, writer, record, revision)

    assert content(one) == content(other)


@settings(deadline=None)
@given(logs(), st.data())
def test_duplicates_change_nothing(log: Log, data: st.DataObject) -> None:
    once, often = state(), state()
    for revision, (writer, record) in enumerate(log.records, 1):
        fold(once, writer, record, revision)
        fold(often, writer, record, revision)
        again = data.draw(st.integers(0, revision - 1))
        assert not fold(often, *log.records[again], revision)

    assert content(once) == content(often)


@settings(deadline=None)
@given(logs(), st.data())
def test_a_missing_record_is_noticed_at_the_writers_next_one(log: Log, data: st.DataObject) -> None:
    last = {writer: record.seq for writer, record in log.records}
    inner = [at for at, (who, record) in enumerate(log.records) if 1 < record.seq < last[who]]
    assume(inner)
    missing = data.draw(st.sampled_from(inner))
    loser, reader = log.records[missing][0], state()

    def fold_the_rest() -> None:
        for revision, (writer, record) in enumerate(log.records, 1):
            if revision - 1 != missing:
                fold(reader, writer, record, revision)

    with pytest.raises(Gap, match=f"of writer '{loser}'.*records were missed"):
        fold_the_rest()


@settings(deadline=None)
@given(logs(), st.data())
def test_a_snapshot_and_the_tail_are_as_good_as_the_whole_log(
    log: Log, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log.records)))
    whole, head = state(), state()
    for revision, (writer, record) in enumerate(log.records, 1):
        fold(whole, writer, record, revision)
        if revision <= cut:
            fold(head, writer, record, revision)
    joiner = snapshot_of(head)
    for revision, (writer, record) in enumerate(log.records, 1):
        # From one earlier than needed: the overlap must do no harm.
        if revision >= cut:
            fold(joiner, writer, record, revision)

    assert content(whole) == content(joiner)


@settings(deadline=None)
@given(logs(), st.data())
def test_a_frozen_view_shows_the_moment_it_was_made(log: Log, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log.records)))
    live, then = state(), state()
    for revision, (writer, record) in enumerate(log.records[:cut], 1):
        fold(live, writer, record, revision)
        fold(then, writer, record, revision)
    frozen = freeze(live)
    for revision, (writer, record) in enumerate(log.records[cut:], cut + 1):
        fold(live, writer, record, revision)

    expected = freeze(then)
    assert view(expected) == view(frozen)
    assert (expected.revision, expected.writers) == (frozen.revision, frozen.writers)


def test_log_time_never_goes_back() -> None:
    reader = state()
    fold(reader, "x", batch(1, START), 1)
    fold(reader, "y", batch(1, START - 3_600_000), 2)

    assert reader.log_time == START


def test_a_batch_sent_again_late_counts_its_hits_at_their_age() -> None:
    reader = state()
    fold(reader, "x", batch(1, START + 700, lag=700, hits=[(0, 1, 50)]), 1)

    assert lasts(reader, KEYS[0]) == [START - 50]


def test_strict_attempts_see_those_before_them_in_the_same_batch() -> None:
    reader, seen = state(), []
    record = batch(1, START, hits=[(0, 2, 0)], strict=[[0], [1, 0], [0]])

    reader.begin(Record("x", record, 1))
    reader.add_hits(record, 0, 1)
    for attempt in record.strict:
        hits = reader.find(KEYS[0])
        seen.append(hits.count(START - MINUTE) if hits else 0)
        for index in attempt:
            reader.hit(KEYS[index], START, 1)
    reader.end()

    assert seen == [2, 3, 4]


def test_a_new_epoch_begins_at_one() -> None:
    reader = state()
    fold(reader, "x", batch(1, START), 1)
    with pytest.raises(Gap):
        fold(reader, "x", batch(2, START, epoch=2), 2)

    assert fold(reader, "x", batch(1, START, epoch=2), 2)
    assert not fold(reader, "x", batch(2, START, epoch=1), 3)


def test_a_forgotten_writer_may_go_on_where_it_was() -> None:
    reader = state()
    fold(reader, "x", batch(1, START), 1)
    reader.forget_writer("x")

    assert fold(reader, "x", batch(7, START), 2)


def test_expired_subjects_are_dropped_a_few_at_a_time() -> None:
    reader = state(max_subjects=10_000)
    many = [CounterKey("reads", (str(number),)) for number in range(5_000)]
    hits = [(number, 1, 0) for number in range(len(many))]
    fold(reader, "x", Batch(epoch=1, seq=1, proposed=START, wall=0, keys=many, hits=hits), 1)
    assert len(reader.subjects) == 5_000

    held = []
    for seq in range(2, 400):
        fold(reader, "x", batch(seq, START + 2 * MINUTE + seq * 100), seq)
        held.append(len(reader.subjects))

    assert max(before - after for before, after in itertools.pairwise(held)) < 1_100
    assert held[-1] == 0


def test_a_subject_hit_and_refunded_for_ever_leaves_nothing_behind() -> None:
    reader = state()
    for seq in range(1, 500):
        refunds = [(0, 1, reader.log_time)] if seq > 1 else []
        fold(reader, "x", batch(seq, START + seq * 100, strict=[[0]], refunds=refunds), seq)
        assert len(reader.subjects) == 1

    for seq in range(500, 700):
        fold(reader, "x", batch(seq, START + MINUTE * seq), seq)

    assert len(reader.subjects) == 0
    assert not any(True for _ in reader.subjects.shards())


class TestBeyondTheSubjectCap:
    """The hits of new subjects go into a sketch, where they can only count too much."""

    def test_a_subject_without_a_record_of_its_own_reads_what_it_has_in_the_sketch(self) -> None:
        reader = state(max_subjects=2)
        fold(reader, "x", batch(1, START, hits=[(0, 1, 0), (1, 1, 0), (2, 4, 0), (3, 5, 0)]), 1)

        assert len(reader.subjects) == 2
        assert [count(reader, index) for index in range(5)] == [1, 1, 4, 5, 0]
        hits = reader.find(KEYS[2])
        assert hits is not None
        assert hits.doubtful(reader.log_time - MINUTE)

    def test_one_admitted_later_still_counts_what_it_had_before(self) -> None:
        reader = state(max_subjects=2)
        fold(reader, "x", batch(1, START, hits=[(0, 1, 0), (1, 1, 0)]), 1)
        fold(reader, "x", batch(2, START + 50_000, hits=[(2, 3, 0)]), 2)
        self._pass(reader, START + 61_000)
        fold(reader, "x", batch(1_000, START + 61_000, hits=[(2, 1, 0)], epoch=1), 1_000)

        assert len(reader.subjects) == 1
        assert count(reader, 2) == 4
        hits = reader.find(KEYS[2])
        assert hits is not None
        assert hits.doubtful(reader.log_time - MINUTE)

    def test_a_refund_takes_back_what_is_in_the_sketch(self) -> None:
        reader = state(max_subjects=1)
        fold(reader, "x", batch(1, START, hits=[(0, 1, 0), (1, 3, 0)]), 1)
        fold(reader, "x", batch(2, START + 1, refunds=[(1, 1, START)]), 2)

        assert count(reader, 1) == 2

    def test_the_sketch_expires(self) -> None:
        reader = state(max_subjects=1)
        fold(reader, "x", batch(1, START, hits=[(0, 1, 0), (1, 1, 0)]), 1)
        assert len(reader.tail.cells) > 0
        self._pass(reader, START + 2 * MINUTE)

        assert len(reader.tail.cells) == 0

    def test_every_process_uses_the_same_cells(self) -> None:
        reader = state(max_subjects=1)
        fold(reader, "x", batch(1, START, hits=[(0, 1, 0), (1, 1, 0)]), 1)

        cells = {unpack_subject(subject)[0] for _, subject, _ in reader.tail.cells.packed(0)}
        assert cells == {"0:14018", "1:7891", "2:7198", "3:14609"}

    def test_many_beyond_the_cap_count_little_too_much(self) -> None:
        reader = state(max_subjects=1)
        many = [CounterKey("reads", (str(number),)) for number in range(4_000)]
        hits = [(number, 3, 0) for number in range(len(many))]
        fold(reader, "x", Batch(epoch=1, seq=1, proposed=START, wall=0, keys=many, hits=hits), 1)

        counts = [reader.find(key).count(0) for key in many]  # type: ignore[union-attr]
        assert min(counts) == 3
        assert sum(count > 3 for count in counts) < len(many) // 100

    @settings(deadline=None)
    @given(logs(), st.integers(0, 4))
    def test_no_count_is_ever_too_small(self, log: Log, cap: int) -> None:
        capped, free = state(max_subjects=cap), state()
        for revision, (writer, record) in enumerate(log.records, 1):
            fold(capped, writer, record, revision)
            fold(free, writer, record, revision)
            for index, _ in enumerate(KEYS):
                assert count(capped, index) >= count(free, index)

    def _pass(self, reader: State, until: int) -> None:
        """Let everything have its turn in being dropped."""
        for seq in range(reader.writers["x"].seq + 1, 1_000):
            fold(reader, "x", batch(seq, until), seq)
            reader.subjects._next_sweep = reader.tail.cells._next_sweep = 0


def count(reader: State, index: int) -> int:
    hits = reader.find(KEYS[index])
    return hits.count(reader.log_time - MINUTE) if hits else 0


def test_a_large_state_is_split_into_chunks_that_stores_take() -> None:
    big = state(max_subjects=50_000)
    many = [CounterKey("reads", (f"a-rather-long-user-name-{number}",)) for number in range(20_000)]
    hits = [(number, 1, number % 50) for number in range(len(many))]
    fold(big, "x", Batch(epoch=1, seq=1, proposed=START, wall=0, keys=many, hits=hits), 1)

    sizes = [len(chunk) for chunk in encode_chunks(freeze(big))]

    assert len(sizes) > 1
    assert max(sizes) < CHUNK_BYTES + 16 * 1024


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "cannot be read"),
        (b"\xc1nonsense", "cannot be read"),
        (encode(Batch(version=4, epoch=1, seq=1, proposed=0, wall=0)), "upgrade it"),
        (encode(batch(1, 0, hits=[(5, 1, 0)])), "does not hold"),
        (encode(batch(1, 0, strict=[[0, 9]])), "does not hold"),
    ],
)
def test_what_is_no_batch_is_refused(value: bytes, message: str) -> None:
    with pytest.raises(MalformedRecord, match=message):
        decode(value)
