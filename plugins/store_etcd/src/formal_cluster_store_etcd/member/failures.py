"""Why the state server does not run, in words an operator can act on. Pure.

etcd ends with status 1 or 2 whatever happened, so its last log lines have to tell. A member that
was removed from its cluster ends with status 0.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from formal_cluster.errors import StoreError


class CannotStart(StoreError):
    """The state server cannot start on this machine as things are; trying again later may help."""


class Cause(enum.StrEnum):
    """Why an etcd process ended without being told to."""

    REMOVED = "removed"
    """The others have removed this member: its data is of no more use."""
    ADDRESS_TAKEN = "address-taken"
    DISK_FULL = "disk-full"
    NO_ACCESS = "no-access"
    CORRUPT = "corrupt"
    NOT_IN_LIST = "not-in-list"
    """It was started to join a cluster that has meanwhile other members. The next try will do."""
    KILLED = "killed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of an etcd process: its cause and a message for the operator."""

    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """What messages name: the data directory and the two addresses."""

    data_dir: str
    client_address: str
    peer_address: str


_REMOVED_SIGNS: Final = (
    "the member has been permanently removed from the cluster",
    "data-dir used by this member must be removed",
)
_SIGNS: Final[Sequence[tuple[Cause, tuple[str, ...], str]]] = (
    (
        Cause.DISK_FULL,
        ("no space left on device", "disk quota exceeded"),
        (
            "the disk of {place.data_dir} is full. Free some space (etcd needs at least 200 MB) "
            "or set store.etcd.data_dir to another disk"
        ),
    ),
    (
        Cause.ADDRESS_TAKEN,
        ("address already in use", "cannot assign requested address"),
        (
            "etcd cannot listen on {place.client_address} and {place.peer_address}. End the "
            "program that uses them, or see store.etcd.client_port, peer_port and listen_address"
        ),
    ),
    (
        Cause.NO_ACCESS,
        ("permission denied", "read-only file system", "not a directory", "cannot access data dir"),
        (
            "etcd cannot use {place.data_dir}. Make it readable and writable for this user, or "
            "set store.etcd.data_dir to another directory"
        ),
    ),
    (
        Cause.CORRUPT,
        (
            "crc mismatch",
            "failed to open database",
            "file is corrupted",
            "found data inconsistency",
            "was the raft log corrupted",
            "snap: snapshot file doesn't exist",
            "wal: ",
        ),
        (
            "the data in {place.data_dir} is damaged. If the other instances run, move "
            "{place.data_dir}/member away and this instance joins them with a fresh copy; else "
            "restore a backup"
        ),
    ),
    (
        Cause.NOT_IN_LIST,
        (
            "member count is unequal",
            "unmatched member while checking peerurls",
            "cannot fetch cluster info from peer urls",
        ),
        "the cluster's members changed while this one was starting; it tries again",
    ),
)


def explain(returncode: int, last_lines: Sequence[str], place: Place) -> Failure:
    """Why a process ended that was not told to.

    Args:
        returncode: Its exit status; negative for the signal that ended it.
        last_lines: The last lines it logged, oldest first.
    """
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return Failure(Cause.KILLED, f"etcd was ended by {name} from outside; it is started again")
    if returncode == 0 and _find(last_lines, _REMOVED_SIGNS):
        return Failure(
            Cause.REMOVED,
            "the others have removed this member; it sets its data aside and joins them anew",
        )
    for cause, signs, message in _SIGNS:
        line = _find(last_lines, signs)
        if line:
            return Failure(cause, f"{message.format(place=place)} (etcd: {line})")
    last = f"; its last words: {last_lines[-1]}" if last_lines else ""
    return Failure(Cause.OTHER, f"etcd ended with status {returncode}; it is started again{last}")


def _find(lines: Sequence[str], signs: tuple[str, ...]) -> str | None:
    return next((line for line in reversed(lines) if any(s in line.lower() for s in signs)), None)
