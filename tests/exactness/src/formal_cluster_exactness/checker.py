"""Replays the log hit by hit and compares every answer with it.

Written against the meaning of a count (docs/counters.md), not with the counters' code: of that it
uses the wire format, and the fold for log time alone, fed with records that have no hits.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from formal_cluster.counters.fold import Gap, Record, State
from formal_cluster.counters.keys import Keys
from formal_cluster.counters.records import Batch, decode
from formal_cluster.model import CounterKey, Grade
from formal_cluster_exactness import load
from formal_cluster_exactness.records import Answer, Outcome, read_answers, read_changes
from formal_cluster_exactness.worker import PREFIX

_EXACT = 0
"""Index of the limit whose every count is exact."""


@dataclass
class Verdict:
    """What was found. All of `wrong` has to be empty."""

    admitted: Counter[str] = field(default_factory=Counter)
    denied: Counter[str] = field(default_factory=Counter)
    denied_by_open_hits: int = 0
    refused: int = 0
    records: int = 0
    log_hits: int = 0
    refunds: int = 0
    worst: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def blame(self, what: str, example: object) -> None:
        """Something is wrong."""
        self.wrong[what] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{what}: {example}")


class Replay:
    """The log, one record after the other.

    Attributes:
        places: By record and key, the hits before each attempt in it.
        stamps: The log time of each record's hits.
        kept: By key and log time, the hits that were not taken back.
    """

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._time = State(exact_entries=1, max_subjects=1)
        self._hits: dict[CounterKey, list[int]] = defaultdict(list)
        self.windows = {limit.name: limit.window.length_ms for limit in load.LIMITS}
        self.places: dict[tuple[int, CounterKey], list[tuple[int, int]]] = defaultdict(list)
        self.stamps: dict[int, int] = {}
        self.kept: Counter[tuple[CounterKey, int]] = Counter()
        self.totals: Counter[CounterKey] = Counter()

    def apply(self, writer: str, batch: Batch, revision: int) -> None:
        """The next record."""
        bare = msgspec.structs.replace(
            batch, keys=[], refunds=[], hits=[], strict=[], blocks=[], windows=[]
        )
        record = Record(writer, bare, revision)
        try:
            if not self._time.follows(record):
                self._verdict.blame("a record that the fold ignores", (writer, revision))
                return
        except Gap as gap:
            self._verdict.blame("a record is missing", gap)
        self._time.apply(record)
        stamp = self.stamps[revision] = self._time.stamp
        self._verdict.records += 1
        for index, count, at in batch.refunds:
            self._refund(batch.keys[index], count, at)
        for index, count, life in batch.blocks:
            self._block(batch.keys[index], count, self._time.dated(life))
        for indices in batch.strict:
            self._attempt([batch.keys[index] for index in indices], revision, stamp)

    def _attempt(self, keys: list[CounterKey], revision: int, stamp: int) -> None:
        for key in keys:
            length = self.windows.get(key.counter)
            if length is not None:
                hits = self._hits[key]
                exact = len(hits) - bisect_right(hits, stamp - length)
                # A span of merged hits may be counted until its newest one expires.
                most = len(hits) - bisect_right(hits, stamp - length - length // 60 - 1)
                self.places[revision, key].append((exact, most))
        for key in keys:
            self._verdict.log_hits += 1
            self.kept[key, stamp] += 1
            if key.counter in self.windows:
                self._hits[key].append(stamp)
            else:
                self.totals[key] += 1

    def _block(self, key: CounterKey, count: int, date: int) -> None:
        self._verdict.log_hits += count
        self.kept[key, date] += count
        if key.counter in self.windows:
            for _ in range(count):
                insort(self._hits[key], date)
        else:
            self.totals[key] += count

    def _refund(self, key: CounterKey, count: int, at: int) -> None:
        self._verdict.refunds += count
        self.kept[key, at] -= count
        if key.counter not in self.windows:
            self.totals[key] -= count
            return
        hits = self._hits[key]
        index = bisect_left(hits, at)
        taken = hits[index : index + count]
        if taken != [at] * count:
            self._verdict.blame("a hit is taken back that is not there", (key, at))
        del hits[index : index + count]


def check(homes: Iterable[Path], grade: str = "strict") -> Verdict:
    """Compare what the workers in these directories wrote down."""
    homes = list(homes)
    verdict = Verdict()
    replay = Replay(verdict)
    keys = Keys(PREFIX)
    for revision, (key, value) in sorted(_merged(homes, verdict).items()):
        if value:
            replay.apply(keys.writer_of(key), decode(value), revision)
    admitted: dict[CounterKey, list[int]] = defaultdict(list)
    denied: list[tuple[CounterKey, int]] = []
    spent: dict[CounterKey, list[tuple[int, int]]] = defaultdict(list)
    for home in homes:
        verdict.refused += sum(path.stat().st_size for path in home.glob("refusals-*"))
        for path in home.glob("answers-*"):
            for answer in read_answers(path):
                if grade == Grade.RESERVED:
                    _note_spent(answer, verdict, spent)
                    continue
                _check_answer(answer, replay, verdict, admitted, denied)
    _check_spent(spent, replay, verdict)
    for of, times in spent.items():
        admitted[of] = [ended for ended, _ in times]
    if grade != Grade.RESERVED:
        _check_windows(admitted, replay, verdict)
    _check_denials(admitted, denied, replay, verdict)
    _check_end(homes, admitted, replay, verdict)
    return verdict


def _merged(homes: list[Path], verdict: Verdict) -> dict[int, tuple[bytes, bytes]]:
    """The log, from all who read it; they must have read the same."""
    log: dict[int, tuple[bytes, bytes]] = {}
    for home in homes:
        for path in home.glob("log-*"):
            for revision, key, value in read_changes(path):
                if log.setdefault(revision, (key, value)) != (key, value):
                    verdict.blame("two readers saw different records", revision)
    return log


def _check_answer(
    answer: Answer,
    replay: Replay,
    verdict: Verdict,
    admitted: dict[CounterKey, list[int]],
    denied: list[tuple[CounterKey, int]],
) -> None:
    limit, key = load.LIMITS[answer.kind], load.key(answer.kind, answer.subject)
    places = replay.places.get((answer.revision, key))
    if not places:
        verdict.blame("an answered hit is not in the log", answer)
        return
    stamp = replay.stamps[answer.revision]
    if answer.kind == _EXACT:
        if answer.hits not in [exact for exact, _ in places]:
            verdict.blame("a count differs from the exact log's", (answer, places))
    elif not places[0][0] <= answer.hits <= places[-1][1]:
        verdict.blame("a rounded count is out of its bounds", (answer, places))
    if answer.outcome is Outcome.ADMITTED:
        verdict.admitted[limit.name] += 1
        admitted[key].append(stamp)
    else:
        verdict.denied[limit.name] += 1
        if answer.kind == _EXACT:
            denied.append((key, stamp))
    if (answer.hits < limit.most) != (answer.outcome is Outcome.ADMITTED):
        verdict.blame("a decision does not follow from its count", answer)


def _note_spent(
    answer: Answer, verdict: Verdict, spent: dict[CounterKey, list[tuple[int, int]]]
) -> None:
    limit = load.LIMITS[answer.kind]
    if answer.outcome is Outcome.ADMITTED:
        verdict.admitted[limit.name] += 1
        spent[load.key(answer.kind, answer.subject)].append((answer.ended, answer.began))
    else:
        verdict.denied[limit.name] += 1


def _check_spent(
    spent: dict[CounterKey, list[tuple[int, int]]], replay: Replay, verdict: Verdict
) -> None:
    """Grade reserved: a hit was spent at some time between two that are known."""
    most = {limit.name: limit.most for limit in load.LIMITS}
    kept: Counter[CounterKey] = Counter()
    for (key, _), count in replay.kept.items():
        kept[key] += count
    for key, times in spent.items():
        times.sort()
        length = replay.windows[key.counter]
        for at, (ended, _) in enumerate(times):
            # Certainly inside: they ended before this one did, and began within the window.
            inside = 0
            for other_ended, began in reversed(times[: at + 1]):
                if other_ended <= ended - length:
                    break
                inside += began > ended - length
            verdict.worst[key.counter] = max(verdict.worst[key.counter], inside)
            if inside > most[key.counter]:
                verdict.blame("overshoot", (key, ended, inside))
        if kept[key] < len(times):
            verdict.blame("acknowledged hits are lost", (key, len(times), kept[key]))


def _check_windows(admitted: dict[CounterKey, list[int]], replay: Replay, verdict: Verdict) -> None:
    most = {limit.name: limit.most for limit in load.LIMITS}
    for key, stamps in admitted.items():
        stamps.sort()
        for at, stamp in enumerate(stamps):
            inside = at + 1 - bisect_right(stamps, stamp - replay.windows[key.counter])
            verdict.worst[key.counter] = max(verdict.worst[key.counter], inside)
            if inside > most[key.counter]:
                verdict.blame("overshoot", (key, stamp, inside))
        for stamp, count in Counter(stamps).items():
            if replay.kept[key, stamp] < count:
                verdict.blame("an admitted hit was taken back", (key, stamp))


def _check_denials(
    admitted: dict[CounterKey, list[int]],
    denied: list[tuple[CounterKey, int]],
    replay: Replay,
    verdict: Verdict,
) -> None:
    """Count those that only hits explain whose outcome was open then."""
    limit = load.LIMITS[_EXACT]
    for key, stamp in denied:
        stamps = admitted.get(key, [])
        inside = bisect_right(stamps, stamp) - bisect_right(stamps, stamp - limit.window.length_ms)
        verdict.denied_by_open_hits += inside < limit.most


def _check_end(
    homes: list[Path],
    admitted: dict[CounterKey, list[int]],
    replay: Replay,
    verdict: Verdict,
) -> None:
    """Every instance counts all hits that were admitted, and exactly those that the log has."""
    acknowledged: Counter[CounterKey] = Counter()
    for key, stamps in admitted.items():
        kind = [limit.name for limit in load.LIMITS].index(key.counter)
        acknowledged[load.total_key(kind, int(key.subject[0][1:]))] += len(stamps)
    for home in homes:
        counts = json.loads((home / "totals").read_text())
        for read, count in zip(load.totals(), counts, strict=True):
            if count < acknowledged[read.key]:
                verdict.blame("acknowledged hits are lost", (home.name, read.key, count))
            if count != replay.totals[read.key]:
                verdict.blame("an instance counts otherwise than the log", (home.name, read.key))
