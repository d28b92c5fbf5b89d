"""Why etcd ended, told from its exit status and its last lines (as etcd 3.4 and 3.5 write them)."""

from __future__ import annotations

import pytest

from formal_cluster_store_etcd.member.failures import Cause, Place, explain

PLACE = Place("/data", "10.0.0.1:2379", "10.0.0.1:2380")


@pytest.mark.parametrize(
    ("returncode", "last", "cause", "words"),
    [
        (
            0,
            "server error: the member has been permanently removed from the cluster",
            Cause.REMOVED,
            "joins them anew",
        ),
        (
            2,
            "failed to create WAL: no space left on device",
            Cause.DISK_FULL,
            "the disk of /data is full",
        ),
        (
            1,
            "failed to commit tx: write /data/member/snap/db: no space left on device",
            Cause.DISK_FULL,
            "Free some space",
        ),
        (
            1,
            "discovery failed: listen tcp 10.0.0.1:2380: bind: address already in use",
            Cause.ADDRESS_TAKEN,
            "10.0.0.1:2379 and 10.0.0.1:2380",
        ),
        (
            1,
            "discovery failed: cannot access data directory: mkdir /data: read-only file system",
            Cause.NO_ACCESS,
            "Make it readable and writable",
        ),
        (
            1,
            "failed to list data directory: open /data: not a directory",
            Cause.NO_ACCESS,
            "etcd cannot use /data",
        ),
        (
            1,
            "discovery failed: wal: max entry size limit exceeded",
            Cause.CORRUPT,
            "/data/member away",
        ),
        (2, "failed to open database: invalid database", Cause.CORRUPT, "is damaged"),
        (
            1,
            "discovery failed: error validating peerURLs …: member count is unequal",
            Cause.NOT_IN_LIST,
            "it tries again",
        ),
        (-9, "no space left on device", Cause.KILLED, "SIGKILL"),
        (1, "something new", Cause.OTHER, "its last words: something new"),
    ],
)
def test_the_cause_is_told_with_the_mend(returncode, last, cause, words):
    failure = explain(returncode, ["apply request took too long", last], PLACE)
    assert cause is failure.cause
    assert words in failure.message


def test_a_removal_is_believed_only_of_a_process_that_ended_for_it():
    lines = ["failed to dial: the member has been permanently removed from the cluster"]
    assert Cause.OTHER is explain(1, lines, PLACE).cause


def test_silence_is_explained_by_the_status_alone():
    assert "etcd ended with status 2; it is started again" == explain(2, [], PLACE).message
