"""What an instance has on its disk: all that a crash leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster_simulator.raft import Replica
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Identity, Stage

MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Kept:
    """Data that was set aside, and of which cluster it is."""

    directory: str
    epoch: int
    cluster_id: str | None
    founded_at: float | None
    replica: Replica


@dataclass(slots=True)
class Disk:
    """The identity file, the data of the member, and what was set aside, oldest first.

    `identity` is None until an instance has run with this disk.
    """

    identity: Identity | None = None
    replica: Replica | None = None
    kept: list[Kept] = field(default_factory=list)
    _set_aside: int = 0

    @property
    def own(self) -> Identity:
        """The identity; an instance has run with this disk."""
        assert self.identity is not None
        return self.identity

    @property
    def best_copy(self) -> Copy | None:
        """What its instance offers for a restoration."""
        copies = list(self._copies())
        own = self.identity
        return max(
            (copy for copy in copies if not copy.is_empty),
            key=lambda copy: copy.merit,
            default=copies[0] if own is not None and own.has_data else None,
        )

    def data_in(self, directory: str | None) -> Replica | None:
        """The data in one of its directories."""
        if directory == MEMBER:
            return self.replica
        return next((k.replica for k in self.kept if k.directory == directory), None)

    def set_aside(self) -> list[Replica]:
        """Set the member's data aside. The best and the newest are kept; the others, returned,
        are lost."""
        if self.replica is None:
            return []
        own = self.own
        self._set_aside += 1
        self.kept.append(
            Kept(
                f"set-aside-{self._set_aside}",
                own.epoch,
                own.cluster_id,
                own.founded_at,
                self.replica,
            )
        )
        self.replica.forget()
        self.replica = None
        best = max(self.kept, key=lambda kept: _copy_of(kept).merit)
        lost = [k.replica for k in self.kept[:-1] if k is not best]
        self.kept = [k for k in self.kept if k is best or k is self.kept[-1]]
        return lost

    @property
    def replicas(self) -> Iterator[Replica]:
        """All data there is."""
        if self.replica is not None:
            yield self.replica
        for kept in self.kept:
            yield kept.replica

    def _copies(self) -> Iterator[Copy]:
        own = self.identity
        if own is not None and own.stage is Stage.RESTORING:
            yield self._copy(own.source or MEMBER)
            return
        if own is not None and own.has_data:
            yield self._copy(MEMBER)
        yield from map(_copy_of, self.kept)

    def _copy(self, directory: str) -> Copy:
        """A copy that counts as of the cluster that the identity names."""
        replica = self.data_in(directory)
        term, index = (0, 0) if replica is None else replica.position
        return Copy(
            epoch=self.own.epoch,
            cluster_id=self.own.cluster_id,
            founded_at=self.own.founded_at,
            term=term,
            index=index,
            directory=directory,
        )


def _copy_of(kept: Kept) -> Copy:
    term, index = kept.replica.position
    return Copy(
        epoch=kept.epoch,
        cluster_id=kept.cluster_id,
        founded_at=kept.founded_at,
        term=term,
        index=index,
        directory=kept.directory,
    )
