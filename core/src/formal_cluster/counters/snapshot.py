"""Snapshots as bytes: a head, and the subjects in chunks that any store takes as one value.

Times are stored as ages at the snapshot's log time, so that they are short.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from formal_cluster.counters.fold import Position, State
from formal_cluster.counters.frozen import Frozen
from formal_cluster.counters.records import MalformedRecord, Row
from formal_cluster.counters.windows import Hits, HitsData, Resolution
from formal_cluster.model import CounterKey

VERSION = 1
CHUNK_BYTES = 64 * 1024
"""A chunk ends with the row that passes this. Far below what stores take, since the event loop does
nothing else while one is made or read."""

Decoded = TypeVar("Decoded")


class Head(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What makes a set of chunks the present snapshot.

    Attributes:
        id: The part of the chunks' keys that is this snapshot's own.
        chunks: How many there are.
        revision: Store revision up to which records are in the snapshot.
        log_time, wall, writers, windows: As in `State`.
        restored_until: As `Restoration.until`.
        offsets: As `Witnesses.offsets`.
    """

    version: int = VERSION
    id: str
    chunks: int
    revision: int
    log_time: int
    wall: int
    writers: dict[str, Position]
    windows: dict[str, tuple[int, ...]]
    restored_until: int = 0
    offsets: dict[str, int] = {}


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)
_rows_decoder = msgspec.msgpack.Decoder(list[Row])


def encode_head(frozen: Frozen, snapshot_id: str, chunks: int) -> bytes:
    """The head of the snapshot whose chunks `encode_chunks` made of `frozen`."""
    head = Head(
        id=snapshot_id,
        chunks=chunks,
        revision=frozen.revision,
        log_time=frozen.log_time,
        wall=frozen.wall,
        writers=frozen.writers,
        windows={name: windows.lengths for name, windows in frozen.resolutions.items()},
        restored_until=frozen.restored_until,
        offsets=frozen.offsets,
    )
    return _encoder.encode(head)


def encode_chunks(frozen: Frozen) -> Iterator[bytes]:
    """The chunks, in order, each made when it is asked for."""
    rows: list[msgspec.Raw] = []
    size = 0
    for counter, subject, data in _rows(frozen):
        raw = _encoder.encode(
            Row(
                counter,
                subject,
                [frozen.log_time - first for first in data.firsts],
                [frozen.log_time - last for last in data.lasts],
                data.counts,
            )
        )
        rows.append(msgspec.Raw(raw))
        size += len(raw)
        if size >= CHUNK_BYTES:
            yield _encoder.encode(rows)
            rows, size = [], 0
    if rows:
        yield _encoder.encode(rows)


def decode_head(value: bytes) -> Head:
    """The inverse of `encode_head`.

    Raises:
        MalformedRecord: It was written by an incompatible version, or by something else.
    """
    head = _decode(_head_decoder, value)
    if head.version != VERSION:
        raise MalformedRecord(
            f"the counter snapshot has format {head.version}, this instance reads {VERSION}; "
            "upgrade it"
        )
    return head


def restore_head(head: Head, state: State) -> None:
    """Bring an empty state to where the snapshot is; its subjects must follow."""
    state.revision = head.revision
    state.log_time = head.log_time
    state.wall = head.wall
    state.writers = dict(head.writers)
    state.resolutions = {name: Resolution(lengths) for name, lengths in head.windows.items()}
    state.restoration.until = head.restored_until
    state.witnesses.restore(head.offsets)


def restore_chunk(value: bytes, state: State) -> None:
    """Put one chunk's subjects into a state that has the snapshot's head.

    Raises:
        MalformedRecord: It was not written by `encode_chunks`.
    """
    for row in _decode(_rows_decoder, value):
        data = HitsData(
            [state.log_time - age for age in row.firsts],
            [state.log_time - age for age in row.lasts],
            row.counts,
        )
        if row.subject is None:
            state.overflow[row.counter] = Hits.restore(data)
        else:
            state.restore(CounterKey(row.counter, row.subject), data)


def _rows(frozen: Frozen) -> Iterator[tuple[str, tuple[str, ...] | None, HitsData]]:
    for counter, data in frozen.overflow.items():
        yield counter, None, data
    for key, data in frozen.subjects():
        yield key.counter, key.subject, data


def _decode(decoder: msgspec.msgpack.Decoder[Decoded], value: bytes) -> Decoded:
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise MalformedRecord(f"the counter snapshot cannot be read: {error}") from error
