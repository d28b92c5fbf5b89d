"""The client's pure parts: error mapping, key ranges, back-off, the watch cursor."""

from __future__ import annotations

from itertools import pairwise

import pytest
from aetcd.rpc import Event as RpcEvent
from aetcd.rpc import KeyValue
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import WatchUpdate
from formal_cluster_store_etcd.client.errors_map import RevisionCompacted, map_error
from formal_cluster_store_etcd.client.key_range import key_range
from formal_cluster_store_etcd.client.rpc import StatusCode
from formal_cluster_store_etcd.client.watch_cursor import StoreReplaced, WatchCursor
from formal_cluster_store_etcd.urls import Endpoint

REFUSED_CONNECTION = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "Failed to connect to remote host: Connection refused"
)


@pytest.mark.parametrize(
    ("code", "details", "for_a_write"),
    [
        # certainly not applied
        (StatusCode.UNAVAILABLE, REFUSED_CONNECTION, Unavailable),
        (StatusCode.UNAVAILABLE, "errors resolving nowhere.invalid:1: [...]", Unavailable),
        (StatusCode.UNAVAILABLE, "etcdserver: no leader", Unavailable),
        (StatusCode.UNAVAILABLE, "etcdserver: not capable", Unavailable),
        (StatusCode.UNAVAILABLE, "etcdserver: rpc not supported for learner", Unavailable),
        (StatusCode.UNKNOWN, "etcdserver: too many requests", Unavailable),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Unavailable),
        (StatusCode.UNKNOWN, "raft proposal dropped", Unavailable),
        (StatusCode.NOT_FOUND, "etcdserver: requested lease not found", Unavailable),
        # perhaps applied
        (StatusCode.DEADLINE_EXCEEDED, "Stream removed (Deadline Exceeded)", OutcomeUnknown),
        (StatusCode.DEADLINE_EXCEEDED, "context deadline exceeded", OutcomeUnknown),
        (StatusCode.CANCELLED, "context canceled", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "Stream removed (Socket closed)", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "recvmsg:Connection reset by peer (104)", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "GOAWAY received; Error code: 0", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "Stream removed (ping timeout)", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "etcdserver: leader changed", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "etcdserver: server stopped", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "etcdserver: request timed out", OutcomeUnknown),
        (
            StatusCode.UNAVAILABLE,
            "etcdserver: request timed out, possibly due to previous leader failure",
            OutcomeUnknown,
        ),
        (StatusCode.UNKNOWN, "raft: stopped", OutcomeUnknown),
        (StatusCode.UNKNOWN, "something new", OutcomeUnknown),
        (StatusCode.INTERNAL, "stream terminated by RST_STREAM", OutcomeUnknown),
        (StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, None, OutcomeUnknown),
    ],
)
def test_a_write_is_unavailable_only_if_certainly_not_applied_and_a_read_in_every_such_case(
    code, details, for_a_write
):
    assert for_a_write is type(map_error(code, details, where="there", write=True))
    assert Unavailable is type(map_error(code, details, where="there", write=False))


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "etcdserver: mvcc: database space exceeded",
            NotWritable,
        ),
        (StatusCode.DATA_LOSS, "etcdserver: corrupt cluster", NotWritable),
        (
            StatusCode.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision has been compacted",
            RevisionCompacted,
        ),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", StoreError),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: key is not provided", StoreError),
        (StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", StoreError),
        (StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token", StoreError),
        (StatusCode.UNIMPLEMENTED, "unknown service etcdserverpb.KV", StoreError),
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (20000008 vs. 2097152)",
            StoreError,
        ),
    ],
)
def test_what_repetition_cannot_mend_is_told_apart(code, details, expected):
    for write in (True, False):
        assert expected is type(map_error(code, details, where="there", write=write))


def test_the_message_names_the_endpoint_and_what_was_said():
    message = str(map_error(StatusCode.UNKNOWN, "something new", where="10.1.2.3:9", write=True))
    assert "10.1.2.3:9" in message
    assert "something new" in message


@given(prefix=st.binary(max_size=4), key=st.binary(min_size=1, max_size=6))
def test_a_key_is_in_the_range_exactly_if_it_has_the_prefix(prefix, key):
    start, end = key_range(prefix)
    assert key.startswith(prefix) == (start <= key and (end == b"\0" or key < end))


@given(st.integers(0, 255).map(lambda byte: bytes([byte])), st.binary(max_size=3))
def test_the_range_of_a_prefix_contains_the_prefix_itself(first, rest):
    start, end = key_range(first + rest)
    assert start == first + rest
    assert end == b"\0" or start < end


def test_an_ipv6_endpoint_is_written_with_brackets():
    assert "[::1]:2379" == str(Endpoint("::1", 2379))
    assert "10.0.0.1:2379" == str(Endpoint("10.0.0.1", 2379))


# ── the watch cursor ─────────────────────────────────────────────────────────────────────────


def rpc_event(revision: int, key: bytes) -> RpcEvent:
    return RpcEvent(kv=KeyValue(key=key, mod_revision=revision))


def anchored(from_revision: int | None, revision: int = 10**6) -> WatchCursor:
    cursor = WatchCursor(from_revision)
    cursor.anchor(cluster_id=1, revision=revision)
    return cursor


@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=30),
    keys=st.lists(st.integers(1, 3), min_size=30, max_size=30),
    cuts=st.lists(st.integers(1, 4), max_size=40),
    batch=st.integers(1, 5),
    from_revision=st.integers(1, 20),
)
def test_however_streams_are_cut_every_revision_is_delivered_once_whole_and_in_order(
    gaps, keys, cuts, batch, from_revision
):
    revisions = [1 + sum(gaps[: i + 1]) for i in range(len(gaps))]
    history = {
        revision: [b"%d" % n for n in range(count)]
        for revision, count in zip(revisions, keys, strict=False)
    }
    cursor = anchored(from_revision)
    updates = []
    for responses_until_cut in [*cuts, len(history)]:
        pending = [revision for revision in history if revision >= cursor.start_revision]
        batches = [pending[i : i + batch] for i in range(0, len(pending), batch)]
        for revisions_in_response in batches[:responses_until_cut]:
            events = [rpc_event(r, key) for r in revisions_in_response for key in history[r]]
            updates.append(cursor.accept(events))

    delivered = [update for update in updates if update is not None]
    expected = [(r, key) for r in history if r >= from_revision for key in history[r]]
    assert expected == [(e.revision, e.key) for update in delivered for e in update.events]
    assert all(
        earlier.revision < later.events[0].revision for earlier, later in pairwise(delivered)
    )


def test_a_stream_starts_one_revision_early_so_that_etcd_checks_the_compaction_for_us():
    cursor = anchored(8)
    assert 7 == cursor.start_revision
    assert cursor.accept([rpc_event(7, b"known")]) is None
    assert 7 == cursor.start_revision


def test_a_watch_from_now_begins_after_the_revision_that_a_quorum_reports():
    cursor = anchored(None, revision=41)
    assert WatchUpdate((), 41) == cursor.idle()
    assert cursor.accept([rpc_event(41, b"before")]) is None
    assert 42 == cursor.accept([rpc_event(42, b"after")]).revision


def test_progress_moves_the_cursor_forward_and_never_back():
    cursor = anchored(10)
    assert WatchUpdate((), 30) == cursor.progress(30)
    assert WatchUpdate((), 30) == cursor.progress(20)


def test_another_cluster_is_refused():
    cursor = anchored(10)
    with pytest.raises(StoreReplaced, match="cluster 2"):
        cursor.anchor(cluster_id=2, revision=10**6)


def test_a_revision_that_went_backwards_is_refused():
    delivered = anchored(10, revision=11)
    delivered.accept([rpc_event(12, b"k")])
    quiet = anchored(10, revision=12)
    for cursor in (delivered, quiet):
        with pytest.raises(StoreReplaced, match="revision 11"):
            cursor.anchor(cluster_id=1, revision=11)


def test_a_watch_may_begin_at_a_revision_to_come():
    cursor = anchored(15, revision=12)
    cursor.anchor(cluster_id=1, revision=13)
    assert cursor.accept([rpc_event(14, b"k")]) is None
    assert 15 == cursor.accept([rpc_event(15, b"k")]).revision
