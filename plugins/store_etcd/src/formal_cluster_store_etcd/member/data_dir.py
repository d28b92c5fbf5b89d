"""The data directory: made, checked, and locked against a second supervisor.

    <data_dir>/member/               etcd's data
    <data_dir>/formal-cluster.json   who this is (see `identity`)
    <data_dir>/formal-cluster.lock   held while a supervisor uses the directory
    <data_dir>/set-aside-<n>/        the data of a membership that ended; the newest one is kept

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final, Self

from formal_cluster_store_etcd.member.failures import CannotStart

_LOCK: Final = "formal-cluster.lock"
_SET_ASIDE: Final = "set-aside-"


class DataDir:
    """A directory that is ours until `close`. Make it with `open`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the directory if needed, and take it.

        Raises:
            CannotStart: It cannot be made, written or locked.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise CannotStart(
                    f"store.etcd.data_dir {path} is in use by another instance on this machine. "
                    "Give each instance a directory of its own"
                ) from error
            raise unusable(path, error) from error
        return cls(path, lock)

    @property
    def has_data(self) -> bool:
        """Whether etcd would go on with what is here. Without a log it would begin anew."""
        return _has_wal(self.path / "member")

    @property
    def has_leftovers(self) -> bool:
        """Whether etcd has left files here that it cannot go on with."""
        return (self.path / "member").exists() and not self.has_data

    def set_member_aside(self) -> None:
        """Move etcd's files out of the way. The newest data set aside is kept, older is deleted.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        member = self.path / "member"
        try:
            if not member.exists():
                return
            earlier = [e for e in self.path.glob(f"{_SET_ASIDE}*") if e.name[-1].isdecimal()]
            newest = self.path / f"{_SET_ASIDE}{max(map(_number, earlier), default=0) + 1}"
            member.rename(newest)
            for entry in earlier:
                # Leftovers without data must not push real data out.
                if _has_wal(newest) or not _has_wal(entry):
                    shutil.rmtree(entry)
        except OSError as error:
            raise unusable(self.path, error) from error

    def close(self) -> None:
        """Let another supervisor have it. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def unusable(path: Path, error: OSError) -> CannotStart:
    """The error to raise for a failed operation in the data directory."""
    return CannotStart(
        f"store.etcd.data_dir {path} cannot be used: {error.strerror}. Make it a directory that "
        "this user may read and write, with at least 200 MB free, or set it to another place"
    )


def sync_directory(path: Path) -> None:
    """Let what was renamed or made in a directory survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_wal(member: Path) -> bool:
    return any((member / "wal").glob("*.wal"))


def _number(set_aside: Path) -> int:
    return int(set_aside.name.removeprefix(_SET_ASIDE))
