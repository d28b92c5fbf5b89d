"""Decides the next change of the cluster's members. Pure; asked by the leader's supervisor only.

One change at a time, each with its evidence:

- Instances that are present and have no member are added as learners, one at a time (more are not
  possible before etcd 3.6), and promoted once they are in sync, until there are as many voters as
  `target_voters` says. Two instances are one voter and one learner: a hot standby.
- A member is removed if there is *proof* that it will not come back as it was: its instance is here
  again without its data, or the platform vouches that its instance has stopped, or it never started
  and its instance is gone. Silence is no proof. A member that answers is never removed.
- No change on a discovery view that failed or does not name this instance, no removal on one that
  may be incomplete, and none of a voter unless a quorum of those left is healthy.

A leader that has just been deposed may still act for a moment. Its changes go through the log like
any other, so they are ordered with the new leader's, and etcd refuses those that endanger quorum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from formal_cluster.model import InstanceState, View
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.presence import Presence


@dataclass(frozen=True, slots=True)
class SeenMember:
    """A member, as the leader sees it.

    Attributes:
        name: Empty until it has started once.
        healthy: Whether it answered when it was last asked, a moment ago.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool
    healthy: bool

    def __str__(self) -> str:
        return self.name or f"the member not started yet at {' '.join(self.peer_urls)}"


@dataclass(frozen=True, slots=True)
class Observation:
    """All that `plan` decides on.

    Attributes:
        own_instance: The leader's instance.
        own_member: The leader's member id.
        view: What discovery last said; None if its last answer failed or is too old.
        cap: Most voters there may be.
    """

    own_instance: str
    own_member: int
    members: tuple[SeenMember, ...]
    presences: tuple[Presence, ...]
    view: View | None
    cap: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Change nothing now."""

    evidence: str


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Add an instance's member, without a vote."""

    evidence: str
    instance: str
    peer_url: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Give a learner its vote."""

    evidence: str
    member_id: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a member for good."""

    evidence: str
    member_id: int


Change: TypeAlias = AddLearner | Promote | Remove


def target_voters(instances: int, cap: int) -> int:
    """How many voters so many instances should have: odd, at most `cap`, one for two."""
    largest = min(instances, cap)
    return max(1, largest if largest % 2 else largest - 1)


def plan(seen: Observation) -> Change | Wait:
    """The next change, or why there is none."""
    view = seen.view
    if view is None or seen.own_instance not in {instance.id for instance in view.instances}:
        return Wait("discovery gives no answer that names this instance; see its settings")
    return (
        (_plan_removal(seen, view) if view.complete else None)
        or _plan_promotion(seen, view)
        or _plan_addition(seen, view)
    )


def _plan_removal(seen: Observation, view: View) -> Change | None:
    for member, evidence in _to_be_removed(seen, view):
        if member.is_learner or _quorum_is_healthy_without(member, seen.members):
            return Remove(evidence, member.id)
    return None


def _to_be_removed(seen: Observation, view: View) -> Iterator[tuple[SeenMember, str]]:
    claimed = {presence.peer_url for presence in seen.presences}
    stopped = [i.id for i in view.instances if i.state is InstanceState.STOPPED]
    for member in seen.members:
        if member.healthy or member.id == seen.own_member:
            continue
        if not member.name:
            if member.is_learner and claimed.isdisjoint(member.peer_urls):
                yield member, f"{member} never started, and its instance is gone"
            continue
        for presence in seen.presences:
            if is_member_of(member.name, presence.instance) and presence.member != member.name:
                yield member, f"superseded: {presence.instance} is here again as {presence.member}"
        for instance in stopped:
            if is_member_of(member.name, instance):
                yield member, f"the platform says that {instance} has stopped"


def _quorum_is_healthy_without(removed: SeenMember, members: Sequence[SeenMember]) -> bool:
    left = [m for m in members if not m.is_learner and m.id != removed.id]
    return sum(m.healthy for m in left) > len(left) // 2


def _plan_promotion(seen: Observation, view: View) -> Change | Wait | None:
    learner = next((member for member in seen.members if member.is_learner), None)
    if learner is None:
        return None
    voters = [member for member in seen.members if not member.is_learner]
    target = target_voters(len(_present(seen, view)), seen.cap)
    if len(voters) >= target:
        return Wait(f"{len(voters)} of {target} voters; {learner} stands by")
    if not learner.name or not learner.healthy:
        return Wait(f"{learner} was added and does not run yet")
    if sum(voter.healthy for voter in voters) + 1 <= (len(voters) + 1) // 2:
        return Wait(f"{learner} is not promoted: too few of the voters are healthy")
    return Promote(f"{learner} runs; {len(voters)} of {target} voters", learner.id)


def _plan_addition(seen: Observation, view: View) -> Change | Wait:
    present = _present(seen, view)
    target = target_voters(len(present), seen.cap)
    wanted = 2 if len(present) == 2 else target
    have = f"{len(seen.members)} of {wanted} members for {len(present)} instances"
    if len(seen.members) >= wanted:
        return Wait(have)
    zones = Counter(p.zone for p in present if any(m.name == p.member for m in seen.members))
    used = {url for member in seen.members for url in member.peer_urls}
    candidates = sorted(
        (p for p in present if p.peer_url not in used and p.instance != seen.own_instance),
        key=lambda p: (zones[p.zone], p.started_at or 0.0, p.instance),
    )
    if not candidates:
        return Wait(f"{have}; the others' addresses still belong to other members")
    first = candidates[0]
    return AddLearner(f"{have}; {first.instance} is present", first.instance, first.peer_url)


def _present(seen: Observation, view: View) -> list[Presence]:
    """Those that say they are there, and that discovery names and has not seen stop."""
    named = {i.id for i in view.instances if i.state is not InstanceState.STOPPED}
    return [presence for presence in seen.presences if presence.instance in named]
