"""The bytes of etcd's write-ahead log."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_store_etcd.member.wal_format import (
    HardState,
    Malformed,
    Record,
    RecordType,
    crc32c,
    frame_of,
    frames,
    hard_state_in,
    parse,
    record_in,
    state_record,
    varint,
)

INTEGERS = st.integers(0, (1 << 64) - 1)
RECORDS = st.builds(
    Record, st.sampled_from(RecordType), st.integers(0, (1 << 32) - 1), st.binary(max_size=40)
)


def test_the_checksum_is_castagnolis():
    assert 0xE3069283 == crc32c(b"123456789")


@given(st.binary(), st.binary())
def test_a_checksum_goes_on_from_the_one_before(first, second):
    assert crc32c(first + second) == crc32c(second, crc32c(first))


@given(INTEGERS)
def test_an_integer_is_read_as_it_was_written(value):
    assert {1: value} == parse(b"\x08" + varint(value))


@given(st.binary())
def test_bytes_that_are_no_message_are_refused(data):
    with contextlib.suppress(Malformed):
        assert all(isinstance(value, int | bytes) for value in parse(data).values())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x0a\x05abc", id="bytes that end too early"),
        pytest.param(b"\x08\xff", id="an integer without an end"),
        pytest.param(b"\x08" + b"\xff" * 10 + b"\x01", id="an integer that is too long"),
        pytest.param(b"\x09\x01", id="a wire type that etcd does not use here"),
    ],
)
def test_a_damaged_message_is_refused(data):
    with pytest.raises(Malformed):
        parse(data)


@given(st.lists(RECORDS), st.integers(0, 64))
def test_records_are_read_as_they_were_written_up_to_the_zeros(records, zeros):
    segment = b"".join(map(frame_of, records)) + bytes(zeros)
    found = list(frames(segment))
    assert records == [record_in(segment, frame) for frame in found]
    assert all(frame.start % 8 == 0 and frame.end % 8 == 0 for frame in found)


@given(INTEGERS, INTEGERS, INTEGERS, st.integers(0, (1 << 32) - 1))
def test_a_state_is_read_as_it_was_written_and_carries_the_checksum_on(term, vote, commit, crc):
    record = state_record(HardState(term, vote, commit), crc)
    assert HardState(term, vote, commit) == hard_state_in(record.data)
    assert crc32c(record.data, crc) == record.crc
