"""Where a log ends, read from segments that are made here, byte by byte."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.wal import commit_all, read_log, read_position
from formal_cluster_store_etcd.member.wal_format import (
    HardState,
    Record,
    RecordType,
    crc32c,
    frame_of,
    state_record,
    varint,
)
from formal_cluster_store_etcd.planning.log_position import LogPosition


def entry(term, index, size=20):
    data = b"\x08\x00\x10" + varint(term) + b"\x18" + varint(index)
    return RecordType.ENTRY, data + b"\x22" + varint(size) + b"x" * size


def snapshot(term, index):
    return RecordType.SNAPSHOT, b"\x08" + varint(index) + b"\x10" + varint(term)


def state(term, vote, commit):
    return RecordType.STATE, state_record(HardState(term, vote, commit), 0).data


class Member:
    """A directory `member` whose log is written here."""

    def __init__(self, path):
        self.path = path
        self.wal = path / "wal"
        self.wal.mkdir(parents=True)
        self._crc = 0

    def segment(self, *records, zeros=4_096):
        """Add a segment; returns its path."""
        path = self.wal / f"{len(list(self.wal.iterdir())):016x}-{0:016x}.wal"
        frames = [frame_of(Record(RecordType.CRC, self._crc, b""))]
        for kind, data in [(RecordType.METADATA, b"\x08\x01"), *records]:
            self._crc = crc32c(data, self._crc)
            frames.append(frame_of(Record(kind, self._crc, data)))
        path.write_bytes(b"".join(frames) + bytes(zeros))
        return path


@pytest.fixture
def member(tmp_path):
    return Member(tmp_path / "member")


def test_without_a_log_there_is_no_position(tmp_path, member):
    assert read_position(member.path) is None
    assert read_position(tmp_path / "nothing") is None
    with pytest.raises(CannotStart, match="there is none"):
        commit_all(member.path)


def test_a_log_without_entries_is_at_its_beginning(member):
    member.segment(snapshot(0, 0))
    assert LogPosition(0, 0) == read_position(member.path)


def test_the_log_ends_with_its_last_entry(member):
    member.segment(snapshot(0, 0), entry(1, 1), state(1, 7, 0), entry(2, 2), state(2, 8, 1))
    log = read_log(member.path)
    assert (LogPosition(2, 2), HardState(2, 8, 1)) == (log.last, log.state)


def test_a_new_leaders_entry_makes_void_what_it_replaces(member):
    member.segment(entry(1, 1), entry(1, 2), entry(1, 3), entry(2, 2))
    assert LogPosition(2, 2) == read_position(member.path)


def test_a_snapshot_of_the_members_own_is_behind_the_end(member):
    member.segment(entry(1, 1), entry(1, 2), snapshot(1, 1))
    log = read_log(member.path)
    assert (LogPosition(1, 2), 1) == (log.last, log.snapshot)


def test_a_snapshot_that_the_leader_has_sent_is_the_end_until_entries_follow(member):
    member.segment(entry(1, 1), entry(1, 2), snapshot(3, 500))
    assert LogPosition(3, 500) == read_position(member.path)
    assert 500 == read_log(member.path).snapshot
    member.segment(entry(3, 501))
    assert LogPosition(3, 501) == read_position(member.path)


def test_a_snapshot_of_a_later_term_makes_void_what_this_member_alone_had_written(member):
    member.segment(entry(1, 1), entry(2, 600), state(2, 7, 1), snapshot(3, 500))
    assert LogPosition(3, 500) == read_position(member.path)


def test_a_segment_that_was_just_begun_leaves_the_end_in_the_one_before(member):
    member.segment(entry(1, 1), entry(1, 2), state(1, 7, 1), zeros=0)
    member.segment(state(1, 7, 2), snapshot(1, 1))
    log = read_log(member.path)
    assert (LogPosition(1, 2), HardState(1, 7, 2)) == (log.last, log.state)


@pytest.mark.parametrize("cut", range(1, 56))
def test_a_last_record_that_is_cut_off_does_not_count(member, cut):
    path = member.segment(entry(1, 1), entry(1, 2, size=30), zeros=0)
    os.truncate(path, path.stat().st_size - cut)
    assert LogPosition(1, 1) == read_position(member.path)


def test_a_last_record_of_which_a_sector_is_missing_does_not_count(member):
    path = member.segment(entry(1, 1), entry(1, 2, size=2_000))
    with path.open("r+b") as file:
        file.seek(1_024)
        file.write(bytes(512))
    assert LogPosition(1, 1) == read_position(member.path)


@given(at=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_changed_byte_never_goes_unnoticed_and_never_adds_anything(tmp_path_factory, at, flip):
    member = Member(tmp_path_factory.mktemp("log") / "member")
    path = member.segment(entry(1, 1, 70), entry(1, 2, 70), entry(1, 3, 70), zeros=64)
    content = bytearray(path.read_bytes())
    content[at] ^= flip
    path.write_bytes(content)
    # Padding means nothing, and a longer last frame looks as if it had been cut off.
    with contextlib.suppress(CannotStart):
        assert read_position(member.path) <= LogPosition(1, 3)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(4_096), id="zeros"),
        pytest.param(b"hello, this is no log " * 9, id="text"),
        pytest.param(frame_of(Record(RecordType.ENTRY, 0, b"")), id="no checksum first"),
    ],
)
def test_a_file_that_is_no_segment_is_named_with_what_to_do(member, content):
    (member.wal / "0-0.wal").write_bytes(content)
    with pytest.raises(CannotStart, match=r"damaged: .*move this directory away") as raised:
        read_position(member.path)
    assert str(member.wal) in str(raised.value)


def test_a_record_cut_off_in_an_earlier_segment_is_damage(member):
    path = member.segment(entry(1, 1), entry(1, 2), zeros=0)
    member.segment(state(1, 7, 2))
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(CannotStart, match="damaged"):
        read_position(member.path)


def test_a_log_that_may_not_be_read_is_named(member):
    (member.wal / "0-0.wal").mkdir()
    with pytest.raises(CannotStart, match="cannot be read or written: Is a directory"):
        read_position(member.path)


def test_all_entries_are_committed_and_what_a_crash_left_behind_them_is_gone(member):
    path = member.segment(entry(2, 1), state(2, 7, 0), entry(2, 2), entry(2, 3, size=90), zeros=0)
    os.truncate(path, path.stat().st_size - 16)
    assert LogPosition(2, 2) == commit_all(member.path).last
    log = read_log(member.path)
    assert (LogPosition(2, 2), HardState(2, 7, 2)) == (log.last, log.state)


def test_a_vote_of_an_earlier_term_is_not_carried_into_the_last_entrys(member):
    member.segment(entry(2, 1), state(2, 7, 0), entry(3, 2))
    commit_all(member.path)
    assert HardState(3, 0, 2) == read_log(member.path).state


def test_what_was_synced_long_ago_is_left_to_etcd_to_check(member):
    path = member.segment(*(entry(1, index, size=1 << 20) for index in range(1, 7)))
    with path.open("r+b") as file:
        file.seek(2_000)
        file.write(b"y")
    assert LogPosition(1, 6) == read_position(member.path)
