"""The copies of the data that a directory holds: the member's, and those that were set aside.

How far each has come is read from its log once, and stays so while etcd does not run. That may take
a moment, so it is only done where a recovery might need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from formal_cluster_store_etcd.member.data_dir import DataDir
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.wal import read_position
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.log_position import LogPosition

MEMBER: Final = "member"
_NOTHING: Final = LogPosition(0, 0)


class Label(BaseModel):
    """Of which cluster data is that was set aside."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
    cluster_id: str | None
    founded_at: float | None

    @classmethod
    def of(cls, own: Identity) -> Label:
        """The label for the data that an instance has."""
        return cls(epoch=own.epoch, cluster_id=own.cluster_id, founded_at=own.founded_at)


class CopiesOnDisk:
    """The copies in one directory. `read` them before they are asked for.

    Attributes:
        problem: Why the member's data cannot be read; None if it can, or was not tried.
    """

    def __init__(self, directory: DataDir) -> None:
        self._directory = directory
        self._positions: dict[str, LogPosition | None] | None = None
        self._labels: dict[str, Label] = {}
        self.problem: str | None = None

    async def read(self) -> None:
        """Read the logs, if that has not been done yet."""
        if self._positions is None:
            self._labels, self._positions = await asyncio.to_thread(self._read)

    def forget(self) -> None:
        """What was read is no longer so."""
        self._positions = None

    def best(self, own: Identity) -> Copy | None:
        """The most advanced copy; None if there is none, or none that is known to be the best
        because the member's data has not been read, or cannot be."""
        if self._positions is None or (own.has_data and self.problem is not None):
            return None
        copies = list(self._copies(own))
        return max(
            (copy for copy in copies if not copy.is_empty),
            key=lambda copy: copy.merit,
            default=copies[0] if own.has_data else None,
        )

    def best_set_aside(self) -> str | None:
        """The directory of the most advanced copy that was set aside, if there is one."""
        copies = list(self._set_aside())
        best = max(copies, key=lambda copy: copy.merit, default=None)
        return None if best is None else best.directory

    def _copies(self, own: Identity) -> Iterator[Copy]:
        label = Label.of(own)
        if own.stage is Stage.RESTORING and own.source is not None:
            # From now on it counts as what is made of it.
            yield self._copy(own.source, label)
            return
        if own.has_data:
            yield self._copy(MEMBER, label)
        yield from self._set_aside()

    def _set_aside(self) -> Iterator[Copy]:
        for directory, label in self._labels.items():
            yield self._copy(directory, label)

    def _copy(self, directory: str, label: Label) -> Copy:
        position = (self._positions or {}).get(directory) or _NOTHING
        return Copy(
            epoch=label.epoch,
            cluster_id=label.cluster_id,
            founded_at=label.founded_at,
            term=position.term,
            index=position.index,
            directory=directory,
        )

    def _read(self) -> tuple[dict[str, Label], dict[str, LogPosition | None]]:
        labels, positions = {}, {}
        self.problem = None
        try:
            positions[MEMBER] = read_position(self._directory.path / MEMBER)
        except CannotStart as error:
            self.problem = str(error)
        for directory, text in self._directory.set_asides().items():
            try:
                positions[directory] = read_position(self._directory.path / directory)
                labels[directory] = Label.model_validate_json(text)
            except (CannotStart, ValidationError):
                # It was set aside because it is not needed; a damaged one is as good as none.
                continue
        return labels, positions
