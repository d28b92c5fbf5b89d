"""The fold of the log: what every instance computes from the same records in the same order.

Pure arithmetic without clocks, policies or I/O, so all instances hold the same hits at the same
revision. Loss and duplicates show in (epoch, seq): a batch must follow its writer's last one.

At `max_subjects` a new subject gets no record of its own: it shares one *overflow* record per
counter with all others that came too late. What it reads is then the sum of them, so it can only
count too much. A subject that is admitted later starts with a copy of the overflow, because its own
earlier hits may be in there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from formal_cluster.counters.expiry import ExpiryWheel
from formal_cluster.counters.floors import merged
from formal_cluster.counters.frozen import Frozen
from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.records import Batch
from formal_cluster.counters.restoration import Restoration
from formal_cluster.counters.windows import BASE_RESOLUTION, Hits, HitsData, Resolution
from formal_cluster.counters.witnesses import Witnesses
from formal_cluster.errors import CountersError
from formal_cluster.model import CounterKey

_ALWAYS = -(1 << 63)
_LATELY_MS = 60_000
_LOOKS_PER_FOLD = 64


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
        resolutions: Per counter, the windows asked for.
        overflow: Per counter, the hits of subjects beyond `max_subjects`.
        restoration: What the log says about the last store loss.
    """

    def __init__(self, *, exact_entries: int, max_subjects: int) -> None:
        self._exact_entries = exact_entries
        self._max_subjects = max_subjects
        self._expiry = ExpiryWheel()
        self._frozen: Frozen | None = None
        self.revision = 0
        self.log_time = 0
        self.wall = 0
        self.unanswered = False
        self.witnesses = Witnesses()
        self.writers: dict[str, Position] = {}
        self.resolutions: dict[str, Resolution] = {}
        self.subjects: dict[CounterKey, Hits] = {}
        self.overflow: dict[str, Hits] = {}
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

    def find(self, key: CounterKey) -> Hits | None:
        """The record that the key's hits are in, perhaps among those of others."""
        hits = self.subjects.get(key)
        return self.overflow.get(key.counter) if hits is None else hits

    def resolution(self, counter: str) -> Resolution:
        """The windows that hits of `counter` are kept for."""
        return self.resolutions.get(counter, BASE_RESOLUTION)

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
        self.add_strict(record.batch)
        self.add_blocks(record.batch)
        self.end(record)

    def begin(self, record: Record) -> None:
        """Fold a record that `follows` up to its hits; then come `add_…`, in order, and `end`."""
        writer, batch, revision = record
        self._pass_time(writer, batch)
        self.revision = revision
        for counter, length in batch.windows:
            self.resolutions[counter] = self.resolution(counter).with_length(length)
        self._restore(writer, batch)
        self.writers[writer] = Position(batch.epoch, batch.seq, self.stamp, revision)
        for index, count, at in batch.refunds:
            self._refund(batch.keys[index], at, count)

    def add_hits(self, batch: Batch, start: int, end: int) -> None:
        """Fold some of the batch's hits that were decided already."""
        keys, hit, assembled = batch.keys, self.hit, self.log_time - batch.lag
        for index, count, age in batch.hits[start:end]:
            hit(keys[index], assembled - age, count)

    def add_strict(self, batch: Batch) -> None:
        """Fold the hits of the strict attempts. It may also be done one by one with `hit`."""
        for index in chain.from_iterable(batch.strict):
            self.hit(batch.keys[index], self.log_time, 1)

    def add_blocks(self, batch: Batch, before: Callable[[int], None] | None = None) -> None:
        """Fold the blocks of reserved hits.

        Args:
            before: Called with the index of each one before its hits are added.
        """
        for number, (index, count, life) in enumerate(batch.blocks):
            if before is not None:
                before(number)
            self.hit(batch.keys[index], self.dated(life), count)

    def end(self, record: Record) -> None:
        """The whole record is folded."""
        self._drop_expired(_LOOKS_PER_FOLD + 4 * len(record.batch.keys))

    def skip(self, record: Record) -> None:
        """Take a record as folded that is not to be: what it holds comes in another way."""
        writer, batch, revision = record
        self.writers[writer] = Position(batch.epoch, batch.seq, self.stamp, revision)

    def forget_writer(self, writer: str) -> None:
        """The writer's key was deleted, so its next batch may be any."""
        self.writers.pop(writer, None)
        self.witnesses.forget(writer)

    def restore(self, key: CounterKey, data: HitsData) -> None:
        """Put in one subject of a snapshot. `log_time` and `resolutions` must be set before."""
        self.subjects[key] = Hits.restore(data)
        self._expiry.schedule(key, data.lasts[-1] + self.resolution(key.counter).keep)

    def freeze(self) -> Frozen:
        """A view of the subjects as they are now, to be read while folding goes on.

        There is one at a time; `thaw` ends it.
        """
        self._frozen = Frozen(self)
        return self._frozen

    def thaw(self) -> None:
        """Stop keeping what a frozen view has not read yet."""
        self._frozen = None

    def hit(self, key: CounterKey, at: int, count: int) -> None:
        """Add hits of the record that is being folded."""
        resolution = self.resolutions.get(key.counter, BASE_RESOLUTION)
        if at <= self.log_time - resolution.keep:
            return
        if at <= self.restoration.until:
            at = self.restoration.until + 1
        hits = self.subjects.get(key)
        if hits is None:
            hits = self._admit(key, resolution)
        elif self._frozen is not None:
            self._frozen.preserve(key, hits)
        hits.add(at, count, self.log_time, resolution, self._exact_entries)

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
                shared = self.overflow.setdefault(row.counter, Hits())
                self._add_all(shared, row.counter, floor)
            else:
                self._raise(CounterKey(row.counter, row.subject), floor)

    def _raise(self, key: CounterKey, floor: HitsData) -> None:
        """Have a subject hold at least `floor`."""
        resolution = self.resolution(key.counter)
        if floor.lasts[-1] <= self.log_time - resolution.keep:
            return
        hits = self.subjects.get(key)
        if hits is None:
            hits = self._admit(key, resolution)
        elif self._frozen is not None:
            self._frozen.preserve(key, hits)
        if hits is self.overflow.get(key.counter):
            # Others' hits of the same time may be in there.
            self._add_all(hits, key.counter, floor)
        else:
            hits.replace(merged(hits.data(_ALWAYS), floor, self.restoration.until))

    def _add_all(self, hits: Hits, counter: str, data: HitsData) -> None:
        resolution = self.resolution(counter)
        for last, count in zip(data.lasts, data.counts, strict=True):
            if last > self.log_time - resolution.keep:
                hits.add(last, count, self.log_time, resolution, self._exact_entries)

    def _admit(self, key: CounterKey, resolution: Resolution) -> Hits:
        overflow = self.overflow.get(key.counter)
        if len(self.subjects) >= self._max_subjects:
            return self.overflow.setdefault(key.counter, Hits())
        hits = Hits() if overflow is None else _inherited(overflow, self.log_time - resolution.keep)
        self.subjects[key] = hits
        self._expiry.schedule(key, self.log_time + resolution.keep)
        return hits

    def _refund(self, key: CounterKey, at: int, count: int) -> None:
        hits = self.find(key)
        if hits is not None:
            if self._frozen is not None:
                self._frozen.preserve(key, hits)
            hits.refund(at, count)

    def _drop_expired(self, looks: int) -> None:
        for key in self._expiry.due(self.log_time, looks):
            hits = self.subjects[key]
            keep = self.resolution(key.counter).keep
            if hits.newest is not None and hits.newest > self.log_time - keep:
                self._expiry.schedule(key, hits.newest + keep)
                continue
            if self._frozen is not None:
                self._frozen.preserve(key, hits)
            del self.subjects[key]
        for counter, hits in list(self.overflow.items()):
            hits.expire(self.log_time - self.resolution(counter).keep)
            if hits.total == 0:
                del self.overflow[counter]


def _inherited(overflow: Hits, after: int) -> Hits:
    """A copy of the overflow's hits, as spans from `after` on: counts of them show as rounded."""
    _, lasts, counts = overflow.data(after)
    return Hits.restore(HitsData([after] * len(lasts), lasts, counts))
