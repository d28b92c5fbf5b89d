"""The fold of the log: what every instance computes from the same records in the same order.

Pure arithmetic without clocks, policies or I/O, so all instances hold the same hits at the same
revision. Loss and duplicates show in (epoch, seq): a batch must follow its writer's last one.

At `max_subjects` a new subject gets no record of its own: its hits go into a sketch, where it can
only count too much (`tail`). A subject that is admitted later starts with what it read there, since
its own earlier hits are among that.

When a subject is dropped after its hits have expired is up to each instance, and so is who is
beyond the cap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from formal_cluster.counters.floors import merged
from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.records import Batch
from formal_cluster.counters.restoration import Restoration
from formal_cluster.counters.retention import Retention
from formal_cluster.counters.subjects import Subjects
from formal_cluster.counters.tail import SharedHits, Tail, cell_key
from formal_cluster.counters.windows import BASE_RESOLUTION, Hits, HitsData, Resolution
from formal_cluster.counters.witnesses import Witnesses
from formal_cluster.errors import CountersError
from formal_cluster.model import CounterKey

_ALWAYS = -(1 << 63)
_LATELY_MS = 60_000
MOST_HOT = 16_384
"""Subjects ready for use; about 13 MB of them."""


class Gap(CountersError):
    """What is folded is not what the log holds: records were missed, or the store went back."""


class Position(NamedTuple):
    """How far a writer's batches have been folded.

    Attributes:
        log_time: The time given to hits of its last batch that happened then.
        revision: Store revision of its last batch.
    """

    epoch: int
    seq: int
    log_time: int
    revision: int

    def precedes(self, batch: Batch) -> bool:
        """Whether `batch` is the very next one."""
        if batch.epoch == self.epoch:
            return batch.seq == self.seq + 1
        return batch.epoch > self.epoch and batch.seq == 1


_BEFORE_ALL = Position(epoch=1, seq=0, log_time=0, revision=0)


class Record(NamedTuple):
    """A batch as it is in the log."""

    writer: str
    batch: Batch
    revision: int


class State:
    """Every unexpired hit as of `revision`.

    Attributes:
        log_time: See `clock`; 0 before any record.
        wall: The writer's wall clock at the last record that told the time; 0 before any.
        unanswered: Whether the newest record asks for the time.
        witnesses: What the records say of their writers' wall clocks.
        retention: The windows asked for.
        resolutions: Those of each counter.
        subjects: The hits of each subject.
        hot: Those of them that are ready for use, for a quick look.
        tail: The hits of subjects beyond `max_subjects`.
        restoration: What the log says about the last store loss.
    """

    def __init__(
        self,
        *,
        exact_entries: int,
        max_subjects: int,
        most_hot: int = MOST_HOT,
        more_exact: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            exact_entries: How many of a subject's newest hits are kept one by one.
            more_exact: Counters that keep another number of them. Others' changes to it show here.
        """
        self._exact_entries = exact_entries
        self._more_exact = more_exact
        self._max_subjects = max_subjects
        self._admitted = 0
        self.revision = 0
        self.log_time = 0
        self.wall = 0
        self.unanswered = False
        self.witnesses = Witnesses()
        self.writers: dict[str, Position] = {}
        self.retention = Retention()
        self.resolutions = self.retention.resolutions
        self.subjects = Subjects(most_hot=most_hot)
        self.hot = self.subjects.hot
        self.tail = Tail()
        self.restoration = Restoration()

    def dated(self, life: int) -> int:
        """The date of reserved hits that may be spent until `life` from now."""
        return max(self.log_time + life, self.stamp)

    @property
    def stamp(self) -> int:
        """The time given to a hit that happens now: log time, or just after a restoration's end."""
        return max(self.log_time, self.restoration.until + 1)

    @property
    def life(self) -> int:
        """The number of the log's present life; 0 if none was recorded."""
        position = self.writers.get(LOG_ITSELF)
        return 0 if position is None else position.epoch

    @property
    def begun(self) -> bool:
        """Whether anybody has told the time. There are no hits before."""
        return self.wall != 0

    def find(self, key: CounterKey) -> Hits | SharedHits | None:
        """The key's hits, perhaps among those of others. Not to be changed."""
        hits = self.subjects.look(key)
        return self.tail.look(key) if hits is None else hits

    def ready(self) -> Callable[[CounterKey], Hits | None]:
        """What finds hits that may be changed as they are; while a snapshot is made, none."""
        return self.hot.get if self.subjects.preserve is None else _nothing

    def resolution(self, counter: str) -> Resolution:
        """The windows that hits of `counter` are kept for."""
        return self.resolutions.get(counter, BASE_RESOLUTION)

    def exact(self, counter: str) -> int:
        """How many of the newest hits of `counter` are kept one by one."""
        return self._more_exact.get(counter, self._exact_entries)

    def recent_writers(self) -> int:
        """How many writers appended something in the last minute of log time."""
        since = self.log_time - _LATELY_MS
        return sum(position.log_time > since for position in self.writers.values())

    def follows(self, record: Record) -> bool:
        """Whether the record is to be applied next; False if it has been already.

        Raises:
            Gap: Records between the writer's last one and this were missed.
        """
        position, batch = self.writers.get(record.writer), record.batch
        if position is None or position.precedes(batch):
            return True
        if (batch.epoch, batch.seq) <= (position.epoch, position.seq):
            return False
        raise Gap(
            f"batch {batch.epoch}.{batch.seq} of writer {record.writer!r} follows "
            f"{position.epoch}.{position.seq}: records were missed; reading the log anew"
        )

    def reaches(self, newest: Iterable[Record]) -> bool:
        """Whether certainly nothing is missing between this state and each writer's newest record.

        Of a new epoch one cannot tell where the old one ended.
        """
        for writer, batch, revision in newest:
            if writer == LOG_ITSELF:
                continue
            known = self.writers.get(writer, _BEFORE_ALL)
            proven = batch.epoch == known.epoch and batch.seq == known.seq + 1
            if revision > self.revision and not proven:
                return False
        return True

    def apply(self, record: Record) -> None:
        """Fold a record that `follows`."""
        self.begin(record)
        self.add_hits(record.batch, 0, len(record.batch.hits))
        self.add_strict(record.batch, 0, len(record.batch.strict))
        self.add_blocks(record.batch)
        self.end()

    def begin(self, record: Record) -> None:
        """Fold a record that `follows` up to its hits; then come `add_…`, in order, and `end`."""
        writer, batch, revision = record
        self._pass_time(writer, batch)
        self.revision = revision
        for counter, length in batch.windows:
            self.retention.ask(counter, length, self.log_time)
        self._restore(writer, batch)
        self.writers[writer] = Position(batch.epoch, batch.seq, self.stamp, revision)
        for index, count, at in batch.refunds:
            self._refund(batch.keys[index], at, count)

    def add_hits(self, batch: Batch, start: int, end: int) -> None:
        """Fold some of the hits that were decided already."""
        keys, hit, assembled = batch.keys, self.hit, self.log_time - batch.lag
        if self.subjects.preserve is not None:
            for index, count, age in batch.hits[start:end]:
                hit(keys[index], assembled - age, count)
            return
        # As `hit`, which takes a quarter longer for a hit of its own.
        hot, log_time, exact_entries = self.hot.get, self.log_time, self._exact_entries
        resolutions, until = self.resolutions.get, self.restoration.until
        more_exact = self._more_exact.get
        for index, count, age in batch.hits[start:end]:
            key, at = keys[index], assembled - age
            hits, counter = hot(key), key.counter
            resolution = resolutions(counter, BASE_RESOLUTION)
            if hits is None or at <= until or at <= log_time - resolution.keep:
                hit(key, at, count)
            else:
                exact = more_exact(counter, exact_entries)
                hits.add(at, count, log_time, resolution, exact)

    def add_strict(self, batch: Batch, start: int, end: int) -> None:
        """Fold the hits of some strict attempts. It may also be done one by one with `hit`."""
        keys, log_time, stamp, ready = batch.keys, self.log_time, self.stamp, self.ready()
        counter = None
        for index in chain.from_iterable(batch.strict[start:end]):
            key = keys[index]
            hits = ready(key)
            if hits is None:
                self.hit(key, log_time, 1)
                continue
            # As `hit`, at half the price.
            if key.counter != counter:
                counter = key.counter
                resolution, exact = self.resolution(counter), self.exact(counter)
            hits.add(stamp, 1, log_time, resolution, exact)

    def add_blocks(self, batch: Batch, before: Callable[[int], None] | None = None) -> None:
        """Fold the blocks of reserved hits.

        Args:
            before: Called with the index of each one before its hits are added.
        """
        for number, (index, count, life) in enumerate(batch.blocks):
            if before is not None:
                before(number)
            self.hit(batch.keys[index], self.dated(life), count)

    def end(self) -> None:
        """The whole record is folded."""
        self.retention.pass_time(self.log_time)
        self._drop_expired()

    def skip(self, record: Record) -> None:
        """Take a record as folded that is not to be: what it holds comes in another way."""
        writer, batch, revision = record
        self.writers[writer] = Position(batch.epoch, batch.seq, self.stamp, revision)

    def forget_writer(self, writer: str) -> None:
        """The writer's key was deleted, so its next batch may be any."""
        self.writers.pop(writer, None)
        self.witnesses.forget(writer)

    def expired(self, counter: str) -> int:
        """The time of the newest hits of a counter that count in no window any more."""
        return self.log_time - self.resolution(counter).keep

    def hit(self, key: CounterKey, at: int, count: int) -> None:
        """Add hits of the record that is being folded."""
        resolution = self.resolutions.get(key.counter, BASE_RESOLUTION)
        if at <= self.log_time - resolution.keep:
            return
        if at <= self.restoration.until:
            at = self.restoration.until + 1
        hits = self.hot.get(key) if self.subjects.preserve is None else None
        if hits is None:
            hits = self.subjects.change(key) or self._admit(key)
        if hits is None:
            self.tail.add(key, at, count, self.log_time, resolution)
        else:
            hits.add(at, count, self.log_time, resolution, self.exact(key.counter))

    def _pass_time(self, writer: str, batch: Batch) -> None:
        """Log time goes on; `clock` says why so."""
        founds = batch.sync and not self.begun and batch.proposed == batch.wall
        self.unanswered = batch.sync and not founds
        if self.unanswered:
            self.log_time = self.log_time or batch.proposed
            self.witnesses.asked(writer, batch)
            return
        if batch.alone is None:
            at = batch.proposed
        elif writer in self.witnesses.asking:
            told = self.witnesses.estimate(writer, batch)
            at = self.log_time + batch.wall - self.wall if told is None else told
        else:  # somebody who knows has answered meanwhile
            at = self.log_time
        self.log_time = max(self.log_time, at)
        if writer != LOG_ITSELF:
            self.wall = batch.wall
        self.witnesses.told(writer, batch, at if batch.alone is None else self.log_time)

    def _restore(self, writer: str, batch: Batch) -> None:
        """Fold what a batch says about a store loss."""
        restoration, memory = self.restoration, batch.memory
        if batch.birth is not None:
            restoration.begin(batch.birth.awaited, self.log_time)
        if memory is not None and memory.life == self.life:
            restoration.heard(writer, memory)
        if restoration.awaited:
            restoration.pass_time(self.log_time, known=not self.unanswered)
        if memory is None:
            return
        for row in memory.rows:
            floor = HitsData(
                [memory.until - age for age in row.firsts],
                [memory.until - age for age in row.lasts],
                row.counts,
            )
            if row.subject is None:
                self._add_to_cell(cell_key(row.counter, row.cell), floor)
            else:
                self._raise(CounterKey(row.counter, row.subject), floor)

    def _raise(self, key: CounterKey, floor: HitsData) -> None:
        """Have a subject hold at least `floor`."""
        if floor.lasts[-1] <= self.expired(key.counter):
            return
        hits = self.subjects.change(key) or self._admit(key)
        if hits is not None:
            everything = hits.data(_ALWAYS)
            hits.replace(merged(everything, floor, self.restoration.until))
            return
        # Others' hits of the same time may be in its cells.
        resolution = self.resolution(key.counter)
        for last, count in zip(floor.lasts, floor.counts, strict=True):
            if last > self.expired(key.counter):
                self.tail.add(key, last, count, self.log_time, resolution)

    def _add_to_cell(self, cell: CounterKey, floor: HitsData) -> None:
        resolution = self.resolution(cell.counter)
        for last, count in zip(floor.lasts, floor.counts, strict=True):
            if last > self.expired(cell.counter):
                self.tail.add_to_cell(cell, last, count, self.log_time, resolution)

    def _admit(self, key: CounterKey) -> Hits | None:
        """Give a subject a record of its own; None if there are too many."""
        if len(self.subjects) >= self._max_subjects:
            return None
        shared = self.tail.look(key)
        hits = Hits() if shared is None else Hits.restore(shared.data(self.expired(key.counter)))
        self.subjects.add(key, hits)
        self._admitted += 1
        return hits

    def _refund(self, key: CounterKey, at: int, count: int) -> None:
        hits = self.subjects.change(key)
        if hits is not None:
            hits.refund(at, count)
        else:
            self.tail.refund(key, at, count)

    def _drop_expired(self) -> None:
        self.subjects.sweep(self.log_time, self._admitted, self.expired)
        self.tail.sweep(self.log_time, self.expired)
        self._admitted = 0


def _nothing(_key: CounterKey) -> None:
    return None
