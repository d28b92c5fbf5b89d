"""What `formation` decides on, and the steps it decides for. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from formal_cluster.model import Instance
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage, Vote
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import Probe


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that matter here, in seconds; see `EtcdSettings`."""

    stable_s: float
    deadline_s: float
    leaderless_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Observation:
    """All that `plan` decides on.

    Attributes:
        peer_url: Where this instance can be reached now.
        expected: All instances there are, this one among them; None if discovery gave no complete
            answer.
        stable_s: How long discovery has named the same ones.
        waited_s: How long this instance has been looking for a cluster.
        probes: What was found at the *others*, by instance id; a missing one counts as silent.
            Those that discovery has seen stop are asked too where their death would be used.
        copy_held: This instance's best copy of the data; None if it has none, or if it cannot be
            read.
    """

    own: Identity
    peer_url: str
    expected: tuple[Instance, ...] | None
    stable_s: float
    waited_s: float
    probes: Mapping[str, Probe]
    copy_held: Copy | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing now."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start etcd on the data this instance has, or as the member the cluster has added for it.

    Attributes:
        initial_cluster: Names and peer URLs of all members; None to go on founding a new cluster.
        cluster_id: The cluster that is joined; None if the data says it.
        lineage: Of the cluster that is joined.
        voters: Likewise, as `Identity.voters`: it may end before this instance has its data.
    """

    evidence: str
    initial_cluster: Mapping[str, str] | None
    cluster_id: str | None = None
    lineage: Lineage | None = None
    voters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Join:
    """Use this cluster as a client and ask its leader to be added."""

    evidence: str
    cluster_id: str
    members: tuple[ClusterMember, ...]
    lineage: Lineage | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move the data out of the way and become a new member."""

    evidence: str


@dataclass(frozen=True, slots=True)
class GiveConsent:
    """Let this instance found the cluster."""

    evidence: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class WithdrawConsent:
    """Begin to take the consent back."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Intend:
    """Show the intention to found the cluster."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Retract:
    """Give the intention up."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Found:
    """Start etcd as the only member of a new cluster."""

    evidence: str
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Fence:
    """Do not start etcd on the data here any more, so that a later epoch may begin."""

    evidence: str
    epoch: int


@dataclass(frozen=True, slots=True)
class LiftFence:
    """Begin to take the fence back."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Unfence:
    """The fence is no longer there, nor the vote."""

    evidence: str


@dataclass(frozen=True, slots=True)
class GiveVote:
    """Let this instance's copy be restored."""

    evidence: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class IntendRestore:
    """Show the intention to restore the copy here."""

    evidence: str


@dataclass(frozen=True, slots=True)
class RetractRestore:
    """Give that intention up."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Make a new one-member data directory of the copy here, as the cluster of the fence's epoch.

    Attributes:
        source: The copy's directory, relative to the data directory.
    """

    evidence: str
    source: str


Step: TypeAlias = (
    Wait
    | Start
    | Join
    | SetAside
    | GiveConsent
    | WithdrawConsent
    | Intend
    | Retract
    | Found
    | Fence
    | LiftFence
    | Unfence
    | GiveVote
    | IntendRestore
    | RetractRestore
    | Restore
)


def retract_or_wait(seen: Observation, evidence: str) -> Step:
    """Wait, without an intention to found or to restore a cluster standing."""
    if seen.own.intends_restore:
        return RetractRestore(evidence)
    return Retract(evidence) if seen.own.stage is Stage.INTENDING else Wait(evidence)
