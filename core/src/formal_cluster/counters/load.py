"""The content of one batch while it is on its way into the log."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

from formal_cluster.counters.pending import Pending
from formal_cluster.counters.purse import Purse
from formal_cluster.counters.records import Batch, Memory
from formal_cluster.errors import InputError
from formal_cluster.model import CounterKey, CounterRead
from formal_cluster.protocols import Attempt

MAX_RECORDS = 4_096
MAX_KEYS_BYTES = 384 * 1024
"""With this much in keys a batch stays below 512 KiB."""
MAX_KEY_BYTES = 8 * 1024


@dataclass(slots=True, eq=False)
class StrictHit:
    """A strict attempt on its way.

    Attributes:
        deadline: Event loop time at which its caller is told that it could not be decided.
        done: Gets the attempt once it is folded.
    """

    reads: Sequence[CounterRead]
    deadline: float
    done: Future[Attempt]


@dataclass(slots=True, eq=False)
class Reservation:
    """A block of hits on its way.

    Attributes:
        size: How many; set when it is put into a batch.
        life: Milliseconds of log time for which they may be spent.
    """

    purse: Purse
    size: int
    life: int


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
        keys, windows, refunds, hits: As in `Batch`; of `keys` the index.
        pending: The subjects whose hits are in it.
        strict: The strict attempts in it.
        blocks: The reserved hits in it.
        remembrance: What it re-appends, if anything.
    """

    __slots__ = (
        "_keys_bytes",
        "at",
        "blocks",
        "epoch",
        "folded",
        "hits",
        "keys",
        "pending",
        "refunds",
        "remembrance",
        "seq",
        "strict",
        "windows",
    )

    def __init__(self, *, epoch: int, seq: int, at: int, folded: Future[int]) -> None:
        self.epoch = epoch
        self.seq = seq
        self.at = at
        self.folded = folded
        self.windows: list[tuple[str, int]] = []
        self.keys: dict[CounterKey, int] = {}
        self.refunds: list[tuple[int, int, int]] = []
        self.hits: list[tuple[int, int, int]] = []
        self.pending: list[Pending] = []
        self.strict: list[StrictHit] = []
        self.blocks: list[Reservation] = []
        self.remembrance: Remembrance | None = None
        self._keys_bytes = 0

    @property
    def full(self) -> bool:
        """Whether the rest has to wait. What was put in last may be a little too much."""
        records = len(self.refunds) + len(self.hits) + len(self.strict) + len(self.blocks)
        return records >= MAX_RECORDS or self._keys_bytes >= MAX_KEYS_BYTES

    def add_refund(self, key: CounterKey, count: int, at: int) -> None:
        """Take back hits of log time `at`."""
        self.refunds.append((self._index(key), count, at))

    def add_pending(self, pending: Pending) -> None:
        """Send a subject's unsent hits."""
        index = self._index(pending.key)
        for at, count in pending.send():
            self.hits.append((index, count, self.at - at))
        self.pending.append(pending)

    def add_strict(self, hit: StrictHit) -> None:
        """Send a strict attempt."""
        self.strict.append(hit)
        keys = self.keys
        for read in hit.reads:
            if read.key not in keys:
                self._index(read.key)

    def add_block(self, block: Reservation) -> None:
        """Reserve hits."""
        self._index(block.purse.key)
        self.blocks.append(block)

    def batch(self, *, proposed: int, now: int, wall: int) -> Batch:
        """What to append when it is sent at monotonic time `now`."""
        return Batch(
            epoch=self.epoch,
            seq=self.seq,
            proposed=proposed,
            lag=now - self.at,
            wall=wall,
            windows=self.windows,
            keys=list(self.keys),
            refunds=self.refunds,
            hits=self.hits,
            strict=[[self.keys[read.key] for read in hit.reads] for hit in self.strict],
            blocks=[(self.keys[b.purse.key], b.size, b.life) for b in self.blocks],
            memory=self.remembrance.memory if self.remembrance is not None else None,
        )

    def _index(self, key: CounterKey) -> int:
        index = self.keys.get(key)
        if index is None:
            index = self.keys[key] = len(self.keys)
            self._keys_bytes += _bytes(key)
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
    size = 0
    for part in key.subject:  # a loop, as this runs for each strict hit
        size += len(part) if part.isascii() else len(part.encode())
    return size
