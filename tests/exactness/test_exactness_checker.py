"""The exactness checker finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from formal_cluster.counters.keys import Keys
from formal_cluster.counters.records import Batch, encode
from formal_cluster_exactness import load
from formal_cluster_exactness.checker import check
from formal_cluster_exactness.records import Answer, Change, Outcome, write_answer, write_change
from formal_cluster_exactness.worker import PREFIX

T0 = 1_700_000_000_000
SUBJECT = 3
LIMIT = load.LIMITS[0].most
TOTAL = int(load.total_key(0, SUBJECT).subject[0][1:])


def batch(seq: int, hits: int, refunds: list[tuple[int, int, int]] | None = None) -> Batch:
    return Batch(
        epoch=1,
        seq=seq,
        proposed=T0 + seq,
        wall=T0 + seq,
        keys=[load.key(0, SUBJECT), load.total_key(0, SUBJECT)],
        strict=[[0, 1]] * hits,
        refunds=refunds or [],
    )


class Written:
    """What a worker might have written: six hits in one record, the last one denied."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.batches = [batch(1, LIMIT + 1), batch(2, 0, [(0, 1, T0 + 1), (1, 1, T0 + 1)])]
        self.answers = [
            Answer(T0, T0 + 1, 11, SUBJECT, n, 0, Outcome.ADMITTED) for n in range(LIMIT)
        ]
        self.answers.append(Answer(T0, T0 + 1, 11, SUBJECT, LIMIT, 0, Outcome.DENIED))
        self.total = LIMIT

    def wrong(self) -> set[str]:
        with (self.home / "answers-1").open("wb") as file:
            for answer in self.answers:
                write_answer(file, answer)
        with (self.home / "log-1").open("wb") as file:
            for revision, record in enumerate(self.batches, 11):
                write_change(file, Change(revision, Keys(PREFIX).writer("a"), encode(record)))
        totals = [self.total if number == TOTAL else 0 for number in range(load.TOTALS)]
        (self.home / "totals").write_text(json.dumps(totals))
        return set(check([self.home]).wrong)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_what_is_right_is_found_right(written: Written) -> None:
    assert written.wrong() == set()


def _overshoot(w: Written) -> None:
    w.answers[-1] = w.answers[-1]._replace(outcome=Outcome.ADMITTED)


def _wrong_count(w: Written) -> None:
    w.answers[-1] = w.answers[-1]._replace(hits=LIMIT + 2)


def _lost_record(w: Written) -> None:
    del w.batches[0]


def _lost_hit(w: Written) -> None:
    w.total -= 1


def _too_many(w: Written) -> None:
    w.total += 1


def _taken_back(w: Written) -> None:
    w.batches[1] = batch(2, 0, [(0, 2, T0 + 1), (1, 1, T0 + 1)])


def _taken_back_twice(w: Written) -> None:
    w.batches[1] = batch(2, 0, [(0, 7, T0 + 1), (1, 1, T0 + 1)])


def _gap(w: Written) -> None:
    w.batches.append(batch(4, 0))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_overshoot, "overshoot"),
        (_wrong_count, "a count differs from the exact log's"),
        (_lost_record, "an answered hit is not in the log"),
        (_lost_hit, "acknowledged hits are lost"),
        (_too_many, "an instance counts otherwise than the log"),
        (_taken_back, "an admitted hit was taken back"),
        (_taken_back_twice, "a hit is taken back that is not there"),
        (_gap, "a record is missing"),
    ],
)
def test_what_is_wrong_is_found(
    written: Written, spoil: Callable[[Written], None], found: str
) -> None:
    spoil(written)

    assert found in written.wrong()
