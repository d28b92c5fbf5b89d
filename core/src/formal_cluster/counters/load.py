"""The content of one batch while it is on its way into the log."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from dataclasses import dataclass

from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.pending import Pending
from formal_cluster.counters.purse import Purse
from formal_cluster.counters.records import Batch, Memory
from formal_cluster.errors import InputError
from formal_cluster.model import CounterKey

MAX_RECORDS = 16_384
MAX_KEYS_BYTES = 384 * 1024
"""With this much in keys a batch stays below 768 KiB, half of what etcd takes."""
MAX_KEY_BYTES = 8 * 1024


@dataclass(slots=True, eq=False)
class Reservation:
    """A block of hits on its way.

    Attributes:
        size: How many.
        life: Milliseconds of log time for which they may be spent.
        asked_at: Monotonic time when it was put into a batch.
    """

    purse: Purse
    size: int
    life: int
    asked_at: int


@dataclass(slots=True, eq=False)
class Remembrance:
    """A part of what is re-appended after a store loss.

    Attributes:
        folded: Done when it has come back out of the log.
    """

    memory: Memory
    folded: Future[None]


class Load:
    """What one batch holds, and who waits for it. It stays the same however often it is sent.

    Attributes:
        at: Monotonic time when it was put together.
        folded: Gets the batch's revision when it has come back out of the log.
        keys, windows, refunds: As in `Batch`.
        hits: As in `Batch`, but times instead of ages.
        pending: The subjects whose hits are in it, and where theirs end among `hits`.
        strict: The strict attempts in it.
        blocks: The reserved hits in it.
        remembrance: What it re-appends, if anything.
        sent: The batch as it was sent last, and its bytes.
    """

    __slots__ = (
        "_index_of",
        "_keys_bytes",
        "_strict_indices",
        "at",
        "blocks",
        "epoch",
        "folded",
        "hits",
        "keys",
        "pending",
        "refunds",
        "remembrance",
        "sent",
        "seq",
        "strict",
        "windows",
    )

    def __init__(self, *, epoch: int, seq: int, folded: Future[int]) -> None:
        self.epoch = epoch
        self.seq = seq
        self.at = 0
        self.folded = folded
        self.windows: list[tuple[str, int]] = []
        self.keys: list[CounterKey] = []
        self.refunds: list[tuple[int, int, int]] = []
        self.hits: list[tuple[int, int, int]] = []
        self.pending: list[tuple[Pending, int]] = []
        self.strict: list[StrictHit] = []
        self.blocks: list[Reservation] = []
        self.remembrance: Remembrance | None = None
        self.sent: tuple[Batch, bytes] | None = None
        self._strict_indices: list[list[int]] = []
        self._index_of: dict[CounterKey, int] = {}
        self._keys_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the rest has to wait. What was put in last may be a little too much."""
        records = len(self.refunds) + len(self.hits) + len(self.strict) + len(self.blocks)
        return records >= MAX_RECORDS or self._keys_bytes >= MAX_KEYS_BYTES

    def take_refunds(self, queue: deque[tuple[CounterKey, int, int]]) -> None:
        """Take back hits at log times, as many as fit."""
        while queue and not self.full:
            key, count, at = queue.popleft()
            self.refunds.append((self._index(key), count, at))

    def add_block(self, block: Reservation) -> None:
        """Reserve hits."""
        self._index(block.purse.key)
        self.blocks.append(block)

    def take_pending(self, unsent: dict[Pending, None], most: int) -> bool:
        """Send subjects' unsent hits, at most of so many; whether more would fit.

        Nothing else may be taken afterwards.
        """
        # A hot loop, as `take_strict`. Newest first: unfair while there is a backlog, but it needs
        # no second queue.
        keys, hits, index_of = self.keys, self.hits, self._index_of
        room = MAX_RECORDS - len(self.refunds) - len(self.strict) - len(self.blocks)
        for _ in range(min(most, len(unsent))):
            if len(hits) >= room or self._keys_bytes >= MAX_KEYS_BYTES:
                return False
            pending = unsent.popitem()[0]
            key = pending.key
            index = index_of.get(key) if index_of else None
            if index is None:
                index = len(keys)
                keys.append(key)
                self._keys_bytes += len(key.counter) + _bytes(key)
            times = pending.times
            if len(times) == 1 and pending.backlog is None:
                pending.sent, pending.times = times, []
                hits.append((index, 1, times[0]))
            else:
                for at, count in pending.send():
                    hits.append((index, count, at))
            self.pending.append((pending, len(hits)))
        return bool(unsent)

    def take_strict(self, queue: deque[StrictHit]) -> None:
        """Send strict attempts, as many as fit, without those that nobody waits for any more."""
        # A hot loop: the calls saved here are a tenth of what a strict hit costs.
        keys, index_of = self.keys, self._index_of
        strict, rows = self.strict, self._strict_indices
        while queue and len(rows) < MAX_RECORDS and self._keys_bytes < MAX_KEYS_BYTES:
            hit = queue.popleft()
            if hit.done.done():
                continue
            row = []
            for read in hit.reads:
                key = read.key
                index = index_of.get(key)
                if index is None:
                    index = index_of[key] = len(keys)
                    keys.append(key)
                    self._keys_bytes += len(key.counter) + _bytes(key)
                row.append(index)
            rows.append(row)
            strict.append(hit)

    def batch(self, *, proposed: int, now: int, wall: int) -> Batch:
        """What to append when it is sent at monotonic time `now`."""
        return Batch(
            epoch=self.epoch,
            seq=self.seq,
            proposed=proposed,
            lag=now - self.at,
            wall=wall,
            windows=self.windows,
            keys=self.keys,
            refunds=self.refunds,
            hits=[(index, count, self.at - at) for index, count, at in self.hits],
            strict=self._strict_indices,
            blocks=[(self._index(b.purse.key), b.size, b.life) for b in self.blocks],
            memory=self.remembrance.memory if self.remembrance is not None else None,
        )

    def _index(self, key: CounterKey) -> int:
        index = self._index_of.get(key)
        if index is None:
            index = self._index_of[key] = len(self.keys)
            self.keys.append(key)
            self._keys_bytes += len(key.counter) + _bytes(key)
        return index


def check_key(key: CounterKey) -> None:
    """Refuse a key that the log cannot take.

    Raises:
        InputError: It is too long, or not text.
    """
    try:
        size = _bytes(key)
    except UnicodeEncodeError:
        raise InputError(
            f"the subject of counter {key.counter!r} has a lone surrogate, so it is not text",
            code="subject_not_text",
        ) from None
    if size > MAX_KEY_BYTES:
        raise InputError(
            f"the subject of counter {key.counter!r} takes {size} bytes; the most is "
            f"{MAX_KEY_BYTES}",
            code="subject_too_long",
        )


def _bytes(key: CounterKey) -> int:
    text = "".join(key.subject)
    return len(text) if text.isascii() else len(text.encode())
