"""What a member has in its store, and the log entries that change it.

Membership changes are entries like any other, as in etcd: a member that lags behind has an old list
of the members, and acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.presence import Presence


@dataclass(frozen=True, slots=True)
class Nothing:
    """What a new leader begins its term with."""


@dataclass(frozen=True, slots=True)
class Write:
    """A client's write. Its number is all there is to it."""

    number: int


@dataclass(frozen=True, slots=True)
class Present:
    """An instance says that it is there."""

    presence: Presence
    at: float


@dataclass(frozen=True, slots=True)
class Absent:
    """A presence was withdrawn, or has expired."""

    instance: str


@dataclass(frozen=True, slots=True)
class SetLineage:
    """The founder tells where the cluster comes from."""

    lineage: Lineage


@dataclass(frozen=True, slots=True)
class SetMember:
    """A member is added, promoted, moved, or has told its name."""

    member: ClusterMember


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """A member is removed for good."""

    id: int


@dataclass(frozen=True, slots=True)
class Begin:
    """The first entry of every log: what the cluster was founded, or restored, with."""

    contents: Contents


Change: TypeAlias = (
    Nothing | Write | Present | Absent | SetLineage | SetMember | RemoveMember | Begin
)


@dataclass(slots=True)
class Contents:
    """The store of one member, as of the last entry it knows to be committed."""

    members: dict[int, ClusterMember] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    presences: dict[str, Present] = field(default_factory=dict)
    lineage: Lineage | None = None
    writes: set[int] = field(default_factory=set)
    listed: tuple[ClusterMember, ...] = ()

    def __post_init__(self) -> None:
        self.listed = tuple(self.members.values())

    @property
    def voters(self) -> list[ClusterMember]:
        """The members with a vote."""
        return [member for member in self.listed if not member.is_learner]

    def apply(self, change: Change) -> None:
        """Take one entry in."""
        match change:
            case Write(number=number):
                self.writes.add(number)
            case Present(presence=presence):
                self.presences[presence.instance] = change
            case Absent(instance=instance):
                self.presences.pop(instance, None)
            case SetLineage(lineage=lineage):
                self.lineage = lineage
            case SetMember(member=member) if member.id not in self.removed:
                self.members[member.id] = member
                self.listed = tuple(self.members.values())
            case RemoveMember(id=id_):
                self.members.pop(id_, None)
                self.removed |= {id_}
                self.listed = tuple(self.members.values())
            case Begin(contents=contents):
                self._become(contents)

    def restored_for(self, member: ClusterMember) -> Contents:
        """All of it, but with this one member: what restoring a snapshot makes."""
        return replace(
            self,
            members={member.id: member},
            removed=frozenset(),
            presences=dict(self.presences),
            writes=set(self.writes),
        )

    def _become(self, other: Contents) -> None:
        self.members = dict(other.members)
        self.listed = other.listed
        self.removed = other.removed
        self.presences = dict(other.presences)
        self.lineage = other.lineage
        self.writes = set(other.writes)
