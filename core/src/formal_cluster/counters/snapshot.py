"""Snapshots as bytes: a head, and the subjects in chunks that any store takes as one value.

A chunk is compressed msgpack. Subjects and their hits are in it as they are in memory (`packing`),
so making and reading a chunk costs about a microsecond per subject, most of it compression.

Version 1 had the subjects as rows of a `Memory`, version 2 packed hits in a longer form; both are
still read. Readers refuse versions above their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, TypeVar

import msgspec

from formal_cluster.counters.fold import Position, State
from formal_cluster.counters.frozen import Frozen
from formal_cluster.counters.packing import (
    SHARDS,
    pack_hits,
    pack_subject,
    repack_hits,
    shard_of,
)
from formal_cluster.counters.records import MalformedRecord, Row
from formal_cluster.counters.tail import cell_key
from formal_cluster.counters.windows import Hits, HitsData

VERSION = 3
_WITH_ROWS = 1
_WITH_LONGER_HITS = 2

CHUNK_BYTES = 128 * 1024
"""A chunk ends with the piece that passes this, before compression. It takes some 4 ms to make or
read, and the event loop does nothing else meanwhile."""
_PIECE = 4_096
"""Most subjects in a piece."""
_COMPRESSION = 1

Decoded = TypeVar("Decoded")


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """Some subjects of one shard, in parallel lists.

    Attributes:
        shared: They are cells of the tail.
        counter, number: Whose shard, and which.
        subjects, hits: See `packing`.
    """

    shared: bool
    counter: str
    number: Annotated[int, msgspec.Meta(ge=0, lt=SHARDS)]
    subjects: list[bytes]
    hits: list[bytes]


class Head(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What makes a set of chunks the present snapshot.

    Attributes:
        id: The part of the chunks' keys that is this snapshot's own.
        chunks: How many there are.
        revision: Store revision up to which records are in the snapshot.
        log_time, wall, writers, windows: As in `State`.
        restored_until: As `Restoration.until`.
        offsets: As `Witnesses.offsets`.
        asked: As `Retention.asked`.
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
    asked: list[tuple[str, int, int]] = []


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)
_pieces_decoder = msgspec.msgpack.Decoder(list[Piece])
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
        asked=frozen.asked,
    )
    return _encoder.encode(head)


def encode_chunks(frozen: Frozen) -> Iterator[bytes]:
    """The chunks, in order, each made when it is asked for."""
    pieces: list[Piece] = []
    size = 0
    for piece in _pieces(frozen):
        pieces.append(piece)
        size += sum(map(len, piece.subjects)) + sum(map(len, piece.hits))
        if size >= CHUNK_BYTES:
            yield _chunk(pieces)
            pieces, size = [], 0
    if pieces:
        yield _chunk(pieces)


def decode_head(value: bytes) -> Head:
    """The inverse of `encode_head`.

    Raises:
        MalformedRecord: It was written by an incompatible version, or by something else.
    """
    head = _decode(_head_decoder, value)
    if head.version > VERSION:
        raise MalformedRecord(
            f"the counter snapshot has format {head.version}, this instance reads those up to "
            f"{VERSION}; upgrade it"
        )
    return head


def restore_head(head: Head, state: State) -> None:
    """Bring an empty state to where the snapshot is; its subjects must follow."""
    state.revision = head.revision
    state.log_time = head.log_time
    state.wall = head.wall
    state.writers = dict(head.writers)
    state.retention.restore(head.asked)
    if head.version <= _WITH_LONGER_HITS:  # they do not say when
        for counter, lengths in head.windows.items():
            state.retention.restore((counter, length, head.log_time) for length in lengths)
    state.restoration.until = head.restored_until
    state.witnesses.restore(head.offsets)


def restore_chunk(value: bytes, version: int, state: State) -> None:
    """Put one chunk's subjects into a state that has the snapshot's head.

    Args:
        version: The head's.

    Raises:
        MalformedRecord: It was not written by `encode_chunks`.
    """
    if version == _WITH_ROWS:
        for row in _decode(_rows_decoder, value):
            _restore_row(row, state)
        return
    try:
        content = zlib.decompress(value)
    except zlib.error as error:
        raise MalformedRecord(f"the counter snapshot cannot be read: {error}") from error
    for piece in _decode(_pieces_decoder, content):
        where = state.tail.cells if piece.shared else state.subjects
        hits: Iterable[bytes] = piece.hits
        if version == _WITH_LONGER_HITS:
            hits = map(repack_hits, hits)
        where.load(piece.counter, piece.number, piece.subjects, hits)


def _restore_row(row: Row, state: State) -> None:
    data = HitsData(
        [state.log_time - age for age in row.firsts],
        [state.log_time - age for age in row.lasts],
        row.counts,
    )
    where, subject = state.subjects, row.subject
    if subject is None:
        where, subject = state.tail.cells, cell_key(row.counter, None).subject
    packed = pack_subject(subject)
    where.load(row.counter, shard_of(packed), [packed], [pack_hits(Hits.restore(data))])


def _pieces(frozen: Frozen) -> Iterator[Piece]:
    for shared, counter, number, hits in frozen.parts():
        items = iter(hits.items())
        while some := list(islice(items, _PIECE)):
            subjects, packed = zip(*some, strict=True)
            yield Piece(shared, counter, number, list(subjects), list(packed))


def _chunk(pieces: list[Piece]) -> bytes:
    return zlib.compress(_encoder.encode(pieces), _COMPRESSION)


def _decode(decoder: msgspec.msgpack.Decoder[Decoded], value: bytes) -> Decoded:
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise MalformedRecord(f"the counter snapshot cannot be read: {error}") from error
