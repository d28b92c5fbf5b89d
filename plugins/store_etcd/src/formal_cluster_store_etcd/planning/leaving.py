"""Decides how long an instance that leaves for good goes on, for an orderly farewell. Pure.

Its presence says that it is leaving; the leader then moves the leadership and the vote to others,
by `membership`. `plan` is asked by the one that leaves, again and again, until it says `Go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.presence import Presence

_NO_QUORUM_S: Final = 3.0  # longer than an election
_ENDING_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Farewell:
    """All that `plan` decides on.

    Attributes:
        member: Name of the member that this instance had when it began to leave; None without one.
        members: The cluster's members; empty if none is known.
        presences: All instances that are there, this one included if the cluster knows of it.
        ended: Whether its etcd has ended for being removed, and its data is set aside.
        silent_s: How long no quorum has answered; None if none ever did.
        waited_s: How long it has been leaving.
        removed_s: How long it has not been a member any more.
        grace_s: How long it may take.
    """

    member: str | None
    members: tuple[ClusterMember, ...]
    presences: tuple[Presence, ...]
    ended: bool
    silent_s: float | None
    waited_s: float
    removed_s: float
    grace_s: float


@dataclass(frozen=True, slots=True)
class Stay:
    """Go on for now."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Go:
    """Stop now.

    Attributes:
        together: Whether everyone leaves, so that nobody will be left to hand anything over to.
    """

    evidence: str
    together: bool = False


Farewells: TypeAlias = Stay | Go


def plan(seen: Farewell) -> Farewells:
    """Whether to go on, and why."""
    if seen.member is None or not seen.members:
        return Go("it is not a member")
    if all(member.name != seen.member for member in seen.members):
        if seen.ended or seen.removed_s >= _ENDING_S:
            return Go("it has been removed")
        return Stay("it has been removed; its etcd is about to end")
    if seen.presences and all(presence.draining for presence in seen.presences):
        return Go("everyone here is leaving; the members stay for the next start", together=True)
    if seen.silent_s is None or seen.silent_s >= _NO_QUORUM_S:
        return Go("no quorum answers that could remove it")
    if seen.waited_s >= seen.grace_s:
        return Go(f"it has not been removed within {seen.grace_s:.0f} s")
    return Stay("waiting until its member is removed")
