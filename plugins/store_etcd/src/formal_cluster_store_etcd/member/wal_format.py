"""The format of etcd's write-ahead log, as far as it is needed here. Pure.

A segment is a sequence of frames. A frame is a little-endian 64-bit length, whose highest byte
holds the number of padding bytes (0x80 + n, or 0), the record, and the padding, which makes the
frame a multiple of eight bytes. Zeros follow the last frame, because etcd allocates a segment
before it is used. A record is a protobuf message {type: 1, crc: 2, data: 3}. Its `crc` is the
CRC-32C over the data of *all* records up to it; a segment's first record, of type CRC, hands it on
from the segment before. So a record can be checked with nothing but the one before it.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping
from mmap import mmap
from typing import Final, NamedTuple, TypeAlias

Segment: TypeAlias = bytes | mmap

_LENGTH: Final = struct.Struct("<Q")
_LENGTH_BITS: Final = (1 << 56) - 1
_PADDED: Final = 0x80
_ALIGNMENT: Final = 8
_SECTOR: Final = 512
_LONGEST: Final = 10 << 20
"""etcd refuses longer records; so a longer one was never written."""
_VARINT, _BYTES = 0, 2
_POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli's, reversed."""


class Malformed(ValueError):
    """These bytes are not what etcd writes."""


class RecordType(enum.IntEnum):
    """What a record's data is."""

    METADATA = 1
    ENTRY = 2
    STATE = 3
    CRC = 4
    SNAPSHOT = 5


class Record(NamedTuple):
    """A record: `data` is empty in one of type CRC."""

    type: RecordType
    crc: int
    data: bytes


class Frame(NamedTuple):
    """Where a frame is in its segment, and the type of its record if that can be told."""

    start: int
    end: int
    type: RecordType | None


class HardState(NamedTuple):
    """What Raft must remember beside the log."""

    term: int
    vote: int
    commit: int


def frames(segment: Segment) -> Iterator[Frame]:
    """The frames in order, the last one perhaps cut off by the segment's end.

    Only lengths and types are looked at: a segment may hold half a million frames.
    """
    start, size = 0, len(segment)
    while start + _LENGTH.size <= size:
        (field,) = _LENGTH.unpack_from(segment, start)
        if field == 0:
            return
        end = start + _LENGTH.size + (field & _LENGTH_BITS) + (field >> 56 & ~_PADDED)
        body = segment[start + _LENGTH.size : start + _LENGTH.size + 2]
        yield Frame(start, end, _TYPES.get(body))
        start = end


def record_in(segment: Segment, frame: Frame) -> Record:
    """The record of a frame.

    Raises:
        Malformed: It is none.
    """
    (field,) = _LENGTH.unpack_from(segment, frame.start)
    body = frame.start + _LENGTH.size
    fields = parse(segment[body : body + (field & _LENGTH_BITS)])
    data, crc = fields.get(3, b""), fields.get(2, 0)
    if frame.type is None or not isinstance(data, bytes) or not isinstance(crc, int):
        raise Malformed(f"no record in the frame at byte {frame.start}")
    return Record(frame.type, crc, data)


def is_torn(segment: Segment, frame: Frame) -> bool:
    """Whether a part of the frame never reached the disk, by etcd's own rule: it goes on beyond the
    segment's end, or some sector of it is all zeros."""
    if frame.end - frame.start > _LONGEST:
        return False
    at = frame.start + _LENGTH.size
    while at < min(frame.end, len(segment)):
        until = min(frame.end, (at // _SECTOR + 1) * _SECTOR)
        if not any(segment[at:until]):
            return True
        at = until
    return frame.end > len(segment)


def frame_of(record: Record) -> bytes:
    """A record as it is written."""
    body = b"\x08" + varint(record.type) + b"\x10" + varint(record.crc)
    body += b"\x1a" + varint(len(record.data)) + record.data
    padding = -len(body) % _ALIGNMENT
    field = len(body) | (_PADDED | padding) << 56 if padding else len(body)
    return _LENGTH.pack(field) + body + bytes(padding)


def hard_state_in(data: bytes) -> HardState:
    """The content of a record of type STATE."""
    fields = parse(data)
    return HardState(*(_integer(fields, number) for number in (1, 2, 3)))


def state_record(state: HardState, crc: int) -> Record:
    """The record of type STATE that follows one whose CRC is `crc`."""
    data = b"".join(
        key + varint(value) for key, value in zip((b"\x08", b"\x10", b"\x18"), state, strict=True)
    )
    return Record(RecordType.STATE, crc32c(data, crc), data)


def entry_position(data: bytes) -> tuple[int, int]:
    """Term and index of the entry in a record of type ENTRY."""
    fields = parse(data)
    return _integer(fields, 2), _integer(fields, 3)


def snapshot_position(data: bytes) -> tuple[int, int]:
    """Term and index of the last entry that the snapshot named in a record of type SNAPSHOT has."""
    fields = parse(data)
    return _integer(fields, 2), _integer(fields, 1)


def parse(message: bytes) -> Mapping[int, int | bytes]:
    """The fields of a protobuf message that has integers and byte strings only.

    Raises:
        Malformed: It is no such message.
    """
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = _varint_at(message, at)
        value, at = _varint_at(message, at)
        if key & 7 == _BYTES:
            end = at + value
            if end > len(message):
                raise Malformed("a field reaches beyond its message")
            fields[key >> 3] = message[at:end]
            at = end
        elif key & 7 == _VARINT:
            fields[key >> 3] = value
        else:
            raise Malformed(f"a field of wire type {key & 7}")
    return fields


def varint(value: int) -> bytes:
    """An unsigned integer as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def crc32c(data: bytes, before: int = 0) -> int:
    """The CRC-32C of what has the CRC-32C `before`, followed by `data`. Some 10 MB/s."""
    table, crc = _TABLE, before ^ 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _integer(fields: Mapping[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise Malformed(f"field {number} is no integer")
    return value


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("an integer without an end")


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE: Final = _table()
_TYPES: Final = {bytes((0x08, kind)): kind for kind in RecordType}
"""By the first two bytes of a record: its first field is the type."""
