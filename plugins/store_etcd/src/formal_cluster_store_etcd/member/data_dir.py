"""The data directory: made, checked, and locked against a second supervisor.

    <data_dir>/member/               etcd's data
    <data_dir>/formal-cluster.json   who this is (see `identity`)
    <data_dir>/formal-cluster.lock   held while a supervisor uses the directory
    <data_dir>/set-aside-<n>/        the data of a membership that ended, with a label that says of
                                     which cluster it is; the newest and the best ones are kept
    <data_dir>/restored/             what is to become `member`: complete, or not there
    <data_dir>/formal-cluster-recover.json
                                     an operator's request, see `commands.recover`

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from formal_cluster_store_etcd.member.failures import CannotStart

_LOCK: Final = "formal-cluster.lock"
_SET_ASIDE: Final = "set-aside-"
_LABEL: Final = "formal-cluster-label.json"


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

    @property
    def restored(self) -> Path:
        """Where restored data waits to take the place of `member`."""
        return self.path / "restored"

    def set_member_aside(self, label: str | None = None) -> None:
        """Move etcd's files out of the way. Without a label, they are kept for people only.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        member = self.path / "member"
        try:
            if not member.exists():
                return
            if label is not None:
                write_synced(member / _LABEL, label.encode())
            member.rename(self.path / f"{_SET_ASIDE}{max(self._numbers(), default=0) + 1}")
            sync_directory(self.path)
        except OSError as error:
            raise unusable(self.path, error) from error

    def set_asides(self) -> Mapping[str, str]:
        """The labels of the data that was set aside, by directory, oldest first.

        Raises:
            CannotStart: One cannot be read.
        """
        found = {}
        try:
            for number in sorted(self._numbers()):
                directory = self.path / f"{_SET_ASIDE}{number}"
                if (directory / _LABEL).is_file() and _has_wal(directory):
                    found[directory.name] = (directory / _LABEL).read_text()
        except OSError as error:
            raise unusable(self.path, error) from error
        return found

    def delete_set_asides(self, *, but: str | None) -> None:
        """Delete what was set aside, except `but` and the newest.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        try:
            for number in sorted(self._numbers())[:-1]:
                if f"{_SET_ASIDE}{number}" != but:
                    shutil.rmtree(self.path / f"{_SET_ASIDE}{number}")
        except OSError as error:
            raise unusable(self.path, error) from error

    def adopt_restored(self) -> None:
        """Let the restored data take the place of `member`; does nothing if it has already.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        if not self.restored.exists():
            return
        self.set_member_aside()
        try:
            self.restored.rename(self.path / "member")
            sync_directory(self.path)
        except OSError as error:
            raise unusable(self.path, error) from error

    def discard_restored(self) -> None:
        """Delete restored data that is not to be used.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        try:
            if self.restored.exists():
                shutil.rmtree(self.restored)
        except OSError as error:
            raise unusable(self.path, error) from error

    def _numbers(self) -> list[int]:
        names = (entry.name for entry in self.path.glob(f"{_SET_ASIDE}*"))
        numbers = (name.removeprefix(_SET_ASIDE) for name in names)
        return [int(number) for number in numbers if number.isdecimal()]

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


def write_synced(path: Path, content: bytes) -> None:
    """Replace a file so that, after a crash at any moment, it is the old one or the new one.

    Raises:
        OSError: It could not be written.
    """
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Let what was renamed or made in a directory survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_wal(member: Path) -> bool:
    return any((member / "wal").glob("*.wal"))
