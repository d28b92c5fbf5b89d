"""The records of many subjects in little memory: few of them ready for use, the others packed.

A `Hits` with its lists takes 600 to 800 bytes, packed it takes about 60. So at most `most_hot`
subjects are *hot*, that is, kept as `Hits`. One that is to be changed gets hot, and the one that
has been hot for longest is packed for it. There is no other work that could pile up. Which subjects
are hot changes no count.

Each counter's subjects are split into shards, so that whatever has to go through all of them (to
drop expired ones, to make a snapshot) can do so in steps of a few thousand, and no dictionary gets
so large that growing it would be felt. Subjects have no entry in any schedule: the shards are swept
in turn, which takes about 50 ns for each subject.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from formal_cluster.counters.packing import (
    SHARDS,
    oldest_kept,
    pack_hits,
    pack_subject,
    shard_of,
    unpack_hits,
    unpack_subject,
)
from formal_cluster.counters.windows import Hits
from formal_cluster.model import CounterKey

_SWEEP_EVERY_MS = 60_000 // SHARDS
_LEAST_LOOKS = 16
_MOST_LOOKS = 1_024
"""Subjects to look at in one sweep; a shard is not divided."""
_LOOKS_PER_SUBJECT_ADDED = 4


class Shard:
    """Some of a counter's subjects, by packed subject.

    Attributes:
        packed: Everybody's hits; of those that are hot, nothing. Subjects that get hot keep their
            place here, since a dictionary grows with each removal and return.
        hot: The hits of those that are hot.
    """

    __slots__ = ("hot", "packed")

    def __init__(self) -> None:
        self.hot: dict[bytes, Hits] = {}
        self.packed: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.packed)

    def look_packed(self, subject: bytes) -> bytes | None:
        """A subject's hits as packed."""
        hits = self.hot.get(subject)
        return self.packed.get(subject) if hits is None else pack_hits(hits)

    def all_packed(self) -> dict[bytes, bytes]:
        """A copy of everybody's hits as packed."""
        return self.packed | {subject: pack_hits(hits) for subject, hits in self.hot.items()}


class Subjects:
    """Hits by key.

    Reading changes nothing, so it may happen while somebody goes through the shards.

    Attributes:
        hot: The hot ones, in the order in which they got hot. Only to be looked at.
        preserve: Called before a subject of a shard is changed, added or dropped.
    """

    def __init__(self, *, most_hot: int) -> None:
        self._most_hot = most_hot
        self._shelves: dict[str, list[Shard]] = {}
        self._size = 0
        self._owed = 0
        self._next_sweep = 0
        self._to_sweep: list[tuple[str, Shard]] = []
        self.hot: OrderedDict[CounterKey, Hits] = OrderedDict()
        self.preserve: Callable[[Shard, bytes], None] | None = None

    def __len__(self) -> int:
        return self._size

    def look(self, key: CounterKey) -> Hits | None:
        """The hits of a subject, not to be changed."""
        hits = self.hot.get(key)
        if hits is not None:
            return hits
        shelf = self._shelves.get(key.counter)
        if shelf is None:
            return None
        try:
            subject = pack_subject(key.subject)
        except UnicodeEncodeError:
            return None
        packed = shelf[shard_of(subject)].packed.get(subject)
        return None if packed is None else unpack_hits(packed)

    def change(self, key: CounterKey) -> Hits | None:
        """The hits of a subject, to be changed before the next call."""
        hits = self.hot.get(key)
        if hits is not None and self.preserve is None:
            return hits
        shelf = self._shelves.get(key.counter)
        if shelf is None:
            return None
        subject = pack_subject(key.subject)
        shard = shelf[shard_of(subject)]
        if self.preserve is not None:
            self.preserve(shard, subject)
        if hits is None:
            packed = shard.packed.get(subject)
            if packed is not None:
                hits = unpack_hits(packed)
                self._heat(key, hits, shard, subject)
        return hits

    def add(self, key: CounterKey, hits: Hits) -> None:
        """Hold the hits of a subject that is not held; they may be changed before the next call."""
        subject = pack_subject(key.subject)
        shard = self._shelf(key.counter)[shard_of(subject)]
        if self.preserve is not None:
            self.preserve(shard, subject)
        self._size += 1
        self._heat(key, hits, shard, subject)

    def load(
        self, counter: str, number: int, subjects: Iterable[bytes], packed: Iterable[bytes]
    ) -> None:
        """Hold packed subjects of one shard that are not held."""
        shard = self._shelf(counter)[number]
        before = len(shard)
        shard.packed.update(zip(subjects, packed, strict=True))
        self._size += len(shard) - before

    def sweep(self, now: int, added: int, expired: Callable[[str], int]) -> None:
        """Drop what has expired from the shard whose turn it is, if it is time for that.

        From more if there is little in them. The more subjects are added, the faster it goes: there
        are at most about a third more of them than have hits that count.

        Args:
            now: Log time. A counter's shards have their turn about once a minute.
            added: How many subjects have been added since the last call.
            expired: Per counter, the time of the newest hits that count nowhere any more.
        """
        self._owed = min(self._owed + _LOOKS_PER_SUBJECT_ADDED * added, self._size)
        if now < self._next_sweep and self._owed <= 0:
            return
        self._next_sweep = now + _SWEEP_EVERY_MS
        if not self._to_sweep:
            self._begin_round()
        looks = max(_LEAST_LOOKS, min(self._owed, _MOST_LOOKS))
        while self._to_sweep and looks > 0:
            counter, shard = self._to_sweep.pop()
            looks -= len(shard) + 1
            self._owed -= len(shard) + 1
            if shard.packed:
                self._drop(counter, shard, expired(counter))
        self._owed = max(self._owed, -self._size)

    def shards(self) -> Iterator[tuple[str, int, Shard]]:
        """Every shard with its counter and number."""
        for counter, shelf in self._shelves.items():
            for number, shard in enumerate(shelf):
                yield counter, number, shard

    def packed(self, share: float) -> Iterator[tuple[str, bytes, bytes]]:
        """Counter, subject and hits of all of them. Nothing may be changed meanwhile.

        Args:
            share: In [0, 1): where to begin.
        """
        shards = list(self.shards())
        begin = int(share * len(shards))
        for counter, _, shard in shards[begin:] + shards[:begin]:
            for subject, packed in shard.all_packed().items():
                yield counter, subject, packed

    def look_packed(self, counter: str, subject: bytes) -> bytes | None:
        """The hits of a subject, both as packed."""
        shelf = self._shelves.get(counter)
        return None if shelf is None else shelf[shard_of(subject)].look_packed(subject)

    def _shelf(self, counter: str) -> list[Shard]:
        shelf = self._shelves.get(counter)
        if shelf is None:
            shelf = self._shelves[counter] = [Shard() for _ in range(SHARDS)]
        return shelf

    def _heat(self, key: CounterKey, hits: Hits, shard: Shard, subject: bytes) -> None:
        self.hot[key] = shard.hot[subject] = hits
        shard.packed[subject] = b""
        if len(self.hot) > self._most_hot:
            oldest, cooled = self.hot.popitem(last=False)
            subject = pack_subject(oldest.subject)
            shard = self._shelves[oldest.counter][shard_of(subject)]
            del shard.hot[subject]
            shard.packed[subject] = pack_hits(cooled)

    def _begin_round(self) -> None:
        for counter in [name for name, shelf in self._shelves.items() if not any(shelf)]:
            del self._shelves[counter]
        self._to_sweep = [(counter, shard) for counter, _, shard in self.shards()]

    def _drop(self, counter: str, shard: Shard, until: int) -> None:
        limit, hot = oldest_kept(until), shard.hot
        for subject in [subject for subject, packed in shard.packed.items() if packed < limit]:
            hits = hot.get(subject)
            if hits is not None and hits.newest is not None and hits.newest > until:
                continue
            if self.preserve is not None:
                self.preserve(shard, subject)
            if hits is not None:
                del hot[subject], self.hot[CounterKey(counter, unpack_subject(subject))]
            del shard.packed[subject]
            self._size -= 1
