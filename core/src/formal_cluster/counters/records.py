"""The log's wire format: one batch is one value, a msgpack array.

A batch is atomic: all of it is folded at one revision and at one log time. Its parts are folded in
the order of the fields below, a `memory` before the refunds. A newer format gets a new `version`,
and readers refuse versions above their own; fields may be appended without one if they may be
ignored, as older readers do.

Version 2 added `memory` and `birth`, version 3 `blocks`. A batch without blocks is sent as version
2, so that instances that know no reserved counters stop only where some are used.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Annotated

import msgspec

from formal_cluster.errors import CountersError
from formal_cluster.model import CounterKey

VERSION = 3
_VERSION_WITHOUT_BLOCKS = 2

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class MalformedRecord(CountersError):
    """A value in the log is not a batch that this version can fold."""


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One subject's hits, as ages; `subject` is None for what several share.

    Attributes:
        cell: The part of the counter's `tail` that it is; None from instances without one, where
            all subjects beyond the cap shared it.
    """

    counter: str
    subject: tuple[str, ...] | None
    firsts: list[int]
    lasts: list[int]
    counts: list[int]
    cell: str | None = None


class Memory(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What a writer remembers from before a store loss and the log lacks; see `restoration`.

    Attributes:
        life: The life of the log that the writer has loaded.
        more: There is more of it to come.
        until: No hit remembered is later than this log time.
        rows: A part of it: the least that subjects must hold, as ages at `until`.
    """

    life: Natural
    more: bool
    until: Natural = 0
    rows: list[Row] = []


class Birth(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The beginning of a log's life: of its first one, or of a further one after a store loss.

    Attributes:
        cluster: What the store called itself then (`StoreStatus.cluster_id`).
        awaited: The writers that may remember more of the log than the store does.
    """

    cluster: str | None
    awaited: list[str]


class Batch(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one writer appends at once. Times are milliseconds.

    Attributes:
        epoch: Grows with each start of the writer.
        seq: 1, 2, 3 … within the epoch.
        proposed: The writer's estimate of log time when it sent the batch.
        lag: How long before that the batch was put together; more than 0 if sent again.
        wall: The writer's wall clock, used only when nobody is alive to ask.
        sync: The writer has just started and asks for the time. If the log is empty, this founds
            it, and its time begins with the writer's wall clock.
        windows: (counter, length) of windows that hits must from now on be kept for.
        keys: What the indices below refer to.
        refunds: (key, count, log time of the hits taken back).
        hits: (key, count, age when the batch was put together), decided already.
        strict: The keys of each attempt that is decided by its place in the log.
        memory: In the first batch of an epoch, and in those that re-append.
        blocks: (key, count, life) of hits that are spent within `life` of log time, so they are
            dated that much later.
        birth: The log's life begins here; its number is the epoch, and its writer the log itself.
        alone: The writer has asked for the time, and nobody is there who knows it, but these
            others who have asked as well.
    """

    version: int = _VERSION_WITHOUT_BLOCKS
    epoch: Positive
    seq: Positive
    proposed: Natural
    lag: Natural = 0
    wall: int
    sync: bool = False
    windows: list[tuple[str, Positive]] = []
    keys: list[CounterKey] = []
    refunds: list[tuple[Natural, Positive, int]] = []
    hits: list[tuple[Natural, Positive, Natural]] = []
    strict: list[list[Natural]] = []
    memory: Memory | None = None
    birth: Birth | None = None
    blocks: list[tuple[Natural, Positive, Natural]] = []
    alone: list[str] | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode(batch: Batch) -> bytes:
    """The batch as it is stored."""
    if batch.blocks:
        batch = msgspec.structs.replace(batch, version=VERSION)
    return _encoder.encode(batch)


def decode(value: bytes) -> Batch:
    """The inverse of `encode`.

    Raises:
        MalformedRecord: It was written by an incompatible version, or by something else.
    """
    try:
        batch = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise MalformedRecord(f"a value in the counter log cannot be read: {error}") from error
    if batch.version > VERSION:
        raise MalformedRecord(
            f"the counter log holds format {batch.version}, this instance reads those up to "
            f"{VERSION}; upgrade it"
        )
    if _largest_index(batch) >= len(batch.keys):
        raise MalformedRecord("a batch in the counter log refers to a key that it does not hold")
    return batch


def _largest_index(batch: Batch) -> int:
    index_of = itemgetter(0)
    return max(
        max(map(index_of, batch.refunds), default=-1),
        max(map(index_of, batch.hits), default=-1),
        max(map(index_of, batch.blocks), default=-1),
        max(chain.from_iterable(batch.strict), default=-1),
    )
