"""What `formation` decides on, and the steps it decides for. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from formal_cluster.model import Instance
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import Probe


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that matter here, in seconds; see `EtcdSettings`."""

    stable_s: float
    deadline_s: float


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
    """

    own: Identity
    peer_url: str
    expected: tuple[Instance, ...] | None
    stable_s: float
    waited_s: float
    probes: Mapping[str, Probe]


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
    """

    evidence: str
    initial_cluster: Mapping[str, str] | None
    cluster_id: str | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Use this cluster as a client and ask its leader to be added."""

    evidence: str
    cluster_id: str
    members: tuple[ClusterMember, ...]


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


Step: TypeAlias = (
    Wait | Start | Join | SetAside | GiveConsent | WithdrawConsent | Intend | Retract | Found
)


def identity_after(step: Step, own: Identity) -> Identity:
    """The identity to persist, and then to show, when a step is taken."""
    match step:
        case GiveConsent():
            return own.model_copy(update={"consent": step.consent, "withdrawing": False})
        case WithdrawConsent():
            return own.model_copy(update={"withdrawing": True})
        case Intend():
            return own.model_copy(update={"stage": Stage.INTENDING})
        case Retract():
            return own.model_copy(update={"stage": Stage.UNFORMED})
        case Found():
            return own.model_copy(update={"stage": Stage.FOUNDING, "epoch": 1})
        case Start() if step.cluster_id is not None:
            return own.in_cluster(step.cluster_id)
        case Join():
            known = {"cluster_id": step.cluster_id, "epoch": max(own.epoch, 1)}
            return own.model_copy(update=known)
        case _:
            return own


def retract_or_wait(seen: Observation, evidence: str) -> Step:
    """Wait, without an intention to found a cluster standing."""
    return Retract(evidence) if seen.own.stage is Stage.INTENDING else Wait(evidence)
