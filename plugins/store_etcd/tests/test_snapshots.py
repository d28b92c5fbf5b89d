"""A snapshot is fetched whole, and a file that is none is told from one."""

from __future__ import annotations

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import Unavailable
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.snapshots import (
    SnapshotDamaged,
    check_snapshot,
    fetch_snapshot,
)
from formal_cluster_store_etcd.urls import Endpoint


def saved(database: bytes) -> bytes:
    return database + hashlib.sha256(database).digest()


@given(st.binary(min_size=1).map(lambda unit: unit * 512))
def test_a_database_with_its_digest_is_a_snapshot(database):
    check_snapshot(io.BytesIO(saved(database)), "file")


@given(
    st.binary(min_size=512, max_size=512),
    st.integers(0, 543),
    st.integers(1, 255),
)
def test_a_changed_byte_is_noticed(database, at, flip):
    content = bytearray(saved(database))
    content[at] ^= flip
    with pytest.raises(SnapshotDamaged, match="file is not a snapshot"):
        check_snapshot(io.BytesIO(content), "file")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="text"),
        pytest.param(bytes(8_192), id="a database without a digest"),
        pytest.param(saved(bytes(100)), id="no whole pages"),
        pytest.param(saved(bytes(8_192))[:-1], id="the last byte missing"),
        pytest.param(saved(bytes(8_192))[:-512], id="the last page missing"),
    ],
)
def test_another_file_is_no_snapshot(content):
    with pytest.raises(SnapshotDamaged):
        check_snapshot(io.BytesIO(content), "file")


@pytest.mark.etcd
async def test_what_is_fetched_is_a_snapshot_of_the_revision_it_says(etcd_single):
    client = EtcdClient([etcd_single.endpoint])
    value = bytes(1 << 20)
    for number in range(4):
        revision = await client.put(b"%d" % number, value)
    await client.aclose()
    file = io.BytesIO()
    made = await fetch_snapshot(etcd_single.endpoint, file)
    content = file.getvalue()
    assert (revision, len(content)) == (made.revision, made.size)
    assert hashlib.sha256(content).hexdigest() == made.sha256
    assert made.size > 4 << 20
    check_snapshot(io.BytesIO(content), "file")


@pytest.mark.etcd
async def test_a_member_without_a_quorum_gives_one_too(etcd_cluster):
    etcd_cluster.kill(0)
    etcd_cluster.kill(1)
    file = io.BytesIO()
    await fetch_snapshot(etcd_cluster.members[2].endpoint, file)
    file.seek(0)
    check_snapshot(file, "file")


async def test_where_no_etcd_answers_that_is_said():
    with pytest.raises(Unavailable, match=r"etcd at 127\.0\.0\.1:1: "):
        await fetch_snapshot(Endpoint("127.0.0.1", 1), io.BytesIO())
