"""What an instance can find at another one's peer port. Pure values, made by `probe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.peer_status import PeerStatus


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody answered, or not in time. Says nothing about whether data is there."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stranger:
    """Something answered that is not this instance's supervisor or etcd.

    Attributes:
        is_etcd: It is an etcd, or an instance with other certificates or none, so a cluster may
            be behind it.
    """

    reason: str
    is_etcd: bool = False


@dataclass(frozen=True, slots=True)
class NoEtcd:
    """The instance's supervisor answered: its etcd does not run."""

    status: PeerStatus


@dataclass(frozen=True, slots=True)
class LiveEtcd:
    """The instance's etcd answered.

    Attributes:
        cluster_id: Hexadecimal.
        members: The members it knows of, which may be yesterday's.
        serving: Whether it reaches a quorum.
        lineage: Of its cluster; None while that is not written, or cannot be read.
        member: Its own name, as the members know it.
        index: Last log entry it knows to be committed; 0 if it cannot be asked.
    """

    cluster_id: str
    members: tuple[ClusterMember, ...]
    serving: bool
    lineage: Lineage | None = None
    member: str = ""
    index: int = 0


Probe: TypeAlias = Silent | Stranger | NoEtcd | LiveEtcd
