"""Reads how far a stopped etcd's log has come, and commits all of it, on a copy.

Why commit: Raft acknowledges a write as soon as a majority has it *in its log*. That it is
committed, a follower learns with the next message, and etcd syncs that to disk with the next entry
only. So the log of a member that was killed regularly holds entries that were acknowledged to a
client, beyond the commit index it remembers; without a quorum etcd would never apply them. When the
copy that has come furthest of all becomes the new cluster, they must not be dropped. Entries that
were not acknowledged may be among them: to their writers the outcome was unknown anyway.

What is checked: the framing of every record that is read, and the CRC of those in the last
`_CHECKED` bytes, as computing it in Python takes minutes for a gigabyte. What is older was synced
to disk long before, and etcd itself checks all of it when it is started on the copy. A segment of
64 MiB is read in about a second.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.wal_format import (
    Frame,
    HardState,
    Malformed,
    RecordType,
    Segment,
    crc32c,
    entry_position,
    frame_of,
    frames,
    hard_state_in,
    is_torn,
    record_in,
    snapshot_position,
    state_record,
)
from formal_cluster_store_etcd.planning.log_position import LogPosition

_Found: TypeAlias = tuple[RecordType, LogPosition]
_CHECKED: Final = 4 << 20
"""More than etcd writes between two syncs."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a log comes to.

    Attributes:
        last: Its last entry.
        snapshot: Index of the last entry that is in a snapshot as well, if that is the last one, or
            was read on the way there; else 0.
        state: What etcd last wrote down beside the log.
    """

    last: LogPosition
    snapshot: int
    state: HardState


def read_log(member_dir: Path) -> Log | None:
    """Read the end of the log in etcd's directory `member`; None if there is no log.

    Raises:
        CannotStart: The log cannot be read, or is damaged.
    """
    with _readable(member_dir):
        tail = _read(member_dir)
    return None if tail is None else tail.log


def read_position(member_dir: Path) -> LogPosition | None:
    """The last entry of the log in etcd's directory `member`; None if there is no log.

    Raises:
        CannotStart: The log cannot be read, or is damaged.
    """
    log = read_log(member_dir)
    return None if log is None else log.last


def commit_all(member_dir: Path) -> Log:
    """Let etcd apply every entry when it is started on this directory, which must be a copy.

    Returns:
        The log as it was before.

    Raises:
        CannotStart: There is no log, it is damaged, or it cannot be written.
    """
    with _readable(member_dir):
        tail = _read(member_dir)
        if tail is None:
            raise Malformed("there is none")
        state, last = tail.log.state, tail.log.last
        term = max(state.term, last.term)
        vote = state.vote if term == state.term else 0
        record = state_record(HardState(term, vote, last.index), tail.crc)
        with tail.segment.open("r+b") as file:
            # What a crash has left behind the last whole record would come after ours.
            file.truncate(tail.end)
            file.seek(tail.end)
            file.write(frame_of(record))
            file.flush()
            os.fsync(file.fileno())
    return tail.log


@dataclass(frozen=True, slots=True)
class _Tail:
    """The end of the log.

    Attributes:
        segment: The last one.
        end: Where its last whole record ends.
        crc: The CRC of that one.
    """

    log: Log
    segment: Path
    end: int
    crc: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """What a segment holds: positions in order, entries first reduced to those that matter."""

    positions: tuple[_Found, ...]
    state: HardState | None
    end: int
    crc: int

    @property
    def has_entries(self) -> bool:
        return any(kind is RecordType.ENTRY for kind, _ in self.positions)


def _read(member_dir: Path) -> _Tail | None:
    """Read the newest segments, back to one that has an entry."""
    paths = sorted((member_dir / "wal").glob("*.wal"))
    read: list[_Segment] = []
    for path in reversed(paths):
        read.insert(0, _read_segment(path, is_last=not read))
        if read[0].has_entries:
            break
    if not read:
        return None
    states = [segment.state for segment in read if segment.state is not None]
    log = _log([position for segment in read for position in segment.positions], states)
    return _Tail(log, paths[-1], read[-1].end, read[-1].crc)


def _log(found: Sequence[_Found], states: Sequence[HardState]) -> Log:
    """What the log comes to, given its records in order.

    A new entry makes those void that had its index or a higher one. A snapshot that the member has
    made itself is behind the log's end; one that the leader has sent is ahead of it, and makes void
    what is there.
    """
    last, snapshot = LogPosition(0, 0), 0
    for kind, position in found:
        if kind is RecordType.SNAPSHOT:
            snapshot = max(snapshot, position.index)
        if kind is RecordType.ENTRY or position > last:
            last = position
    return Log(last, snapshot, states[-1] if states else HardState(0, 0, 0))


def _read_segment(path: Path, *, is_last: bool) -> _Segment:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise Malformed(f"{path.name} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as segment:
            return _parse_segment(segment, is_last=is_last)


def _parse_segment(segment: Segment, *, is_last: bool) -> _Segment:
    whole = _whole_frames(segment, is_last=is_last)
    if not whole or whole[0].type is not RecordType.CRC:
        raise Malformed("a segment that does not begin with a CRC")
    positions: list[_Found] = []
    entry = state = None
    for frame in whole:
        match frame.type:
            case RecordType.ENTRY:
                entry = frame
            case RecordType.STATE:
                state = frame
            case RecordType.SNAPSHOT:
                # Of the entries between two snapshots only the last one matters.
                positions += _entry(segment, entry)
                entry = None
                position = snapshot_position(record_in(segment, frame).data)
                positions.append((RecordType.SNAPSHOT, LogPosition(*position)))
    positions += _entry(segment, entry)
    return _Segment(
        tuple(positions),
        None if state is None else hard_state_in(record_in(segment, state).data),
        whole[-1].end,
        record_in(segment, whole[-1]).crc,
    )


def _entry(segment: Segment, frame: Frame | None) -> Iterator[_Found]:
    if frame is not None:
        yield RecordType.ENTRY, LogPosition(*entry_position(record_in(segment, frame).data))


def _whole_frames(segment: Segment, *, is_last: bool) -> list[Frame]:
    """The frames up to the first torn one, which only the end of the last segment may have."""
    found = list(frames(segment))
    checked_from = (found[-1].end if found else 0) - _CHECKED
    crc: int | None = None
    for number, frame in enumerate(found):
        if frame.type is not None and frame.end < checked_from:
            continue
        try:
            crc = _checked(segment, frame, crc)
        except Malformed:
            if is_last and is_torn(segment, frame):
                return found[:number]
            raise
    return found


def _checked(segment: Segment, frame: Frame, crc: int | None) -> int:
    """The CRC of the record, which follows one whose CRC is `crc`, if that is known."""
    record = record_in(segment, frame)
    if crc is not None and record.type is not RecordType.CRC:
        crc = crc32c(record.data, crc)
        if crc != record.crc:
            raise Malformed(f"the CRC of the record at byte {frame.start} does not match")
    return record.crc


@contextmanager
def _readable(member_dir: Path) -> Iterator[None]:
    try:
        yield
    except Malformed as error:
        raise CannotStart(
            f"etcd's write-ahead log in {member_dir / 'wal'} is damaged: {error}. If other "
            "instances have the data, move this directory away; else restore a snapshot"
        ) from error
    except OSError as error:
        raise CannotStart(
            f"etcd's write-ahead log in {member_dir / 'wal'} cannot be read or written: "
            f"{error.strerror}. Make it readable and writable for this user"
        ) from error
