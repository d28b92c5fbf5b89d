"""Who is who: the facts by which `membership` chooses its steps, from one observation. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from formal_cluster.model import InstanceState, View
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.changes import Observation, SeenMember
from formal_cluster_store_etcd.planning.members import in_sync
from formal_cluster_store_etcd.planning.presence import Presence


def target_voters(instances: int, cap: int) -> int:
    """How many voters so many instances should have: odd, at most `cap`, one for two."""
    largest = min(instances, cap)
    return max(1, largest if largest % 2 else largest - 1)


class Roster:
    """The members and instances of one observation.

    Attributes:
        staying: Ids of the instances that are there and are not leaving. One is there if discovery
            names it, has not seen it stop, and it says so itself or its member answers.
        target: How many voters these should have.
        voters: All members with a vote.
        learners: Those without one whose instances are not leaving.
        leaving: The members whose instances say that they are leaving. One that was started and
            does not answer is none: it may have stopped with everyone else and come back.
    """

    def __init__(self, seen: Observation, view: View) -> None:
        self.seen = seen
        self.view = view
        self._named = {i.id: i.state for i in view.instances}
        gone = {p.instance for p in seen.presences if p.draining}
        owners = {self.owner(m) for m in seen.members if m.healthy}
        there = owners | {p.instance for p in seen.presences}
        self.staying = frozenset(
            id_
            for id_, state in self._named.items()
            if id_ in there and id_ not in gone and state is not InstanceState.STOPPED
        )
        self.target = target_voters(len(self.staying), seen.rules.voters)
        self.voters = tuple(m for m in seen.members if not m.is_learner)
        self.leaving = tuple(
            member
            for member in seen.members
            if (member.healthy or not member.name)
            and any(p.draining and _has(p, member) for p in seen.presences)
        )
        self.learners = tuple(m for m in seen.members if m.is_learner and m not in self.leaving)

    def owner(self, member: SeenMember) -> str | None:
        """Id of the instance that a member belongs to, as well as that is known."""
        for presence in self.seen.presences:
            if _has(presence, member):
                return presence.instance
        return next((id_ for id_ in self._named if is_member_of(member.name, id_)), None)

    def state_of(self, member: SeenMember) -> InstanceState | None:
        """What the platform says of a member's instance; None if it does not name it."""
        owner = self.owner(member)
        return None if owner is None else self._named.get(owner)

    @cached_property
    def written_off(self) -> tuple[SeenMember, ...]:
        """Voters silent for so long that they are to be replaced, proof of death or not.

        Never one of which the platform knows nothing certain (`UNKNOWN`): it may be behind a
        partition with others.
        """
        after_s = self.seen.rules.replace_silent_after_s
        if not self.view.complete:
            return ()
        return tuple(
            voter
            for voter in self.voters
            if voter.silent_s >= after_s
            and not voter.healthy
            and voter not in self.leaving
            and self.state_of(voter) is not InstanceState.UNKNOWN
        )

    @cached_property
    def lasting(self) -> tuple[SeenMember, ...]:
        """Voters that neither leave nor are written off."""
        return tuple(v for v in self.voters if v not in (*self.leaving, *self.written_off))

    @property
    def is_leaving(self) -> bool:
        """Whether the leader's own instance is leaving."""
        return any(member.id == self.seen.own_member for member in self.leaving)

    @property
    def learner(self) -> SeenMember | None:
        """The learner that is to become a voter, or stands by."""
        return next(iter(self.learners), None)

    @cached_property
    def candidates(self) -> tuple[Presence, ...]:
        """Instances that may be added, best first: from the emptiest zone, then the oldest."""
        seen = self.seen
        used = {url for member in seen.members for url in member.peer_urls}
        names = {member.name for member in seen.members}
        zones = self.zones(seen.members)
        return tuple(
            sorted(
                (
                    presence
                    for presence in seen.presences
                    if presence.instance in self.staying - {seen.own_instance} - seen.evicted
                    and presence.peer_url not in used
                    and presence.member not in names
                ),
                key=lambda p: (zones[p.zone], p.started_at or 0.0, p.instance),
            )
        )

    def zones(self, members: Iterable[SeenMember]) -> Counter[str | None]:
        """How many of the members are in each zone."""
        zone_of = {p.member: p.zone for p in self.seen.presences}
        return Counter(zone_of[m.name] for m in members if m.name in zone_of)

    def in_sync(self, learner: SeenMember) -> bool:
        """Whether a learner is close enough to the voters to become one."""
        newest = max((voter.index for voter in self.voters), default=0)
        return learner.healthy and in_sync(learner.index, newest)

    def has_quorum_without(self, removed: SeenMember) -> bool:
        """Whether the voters that are left are a quorum among themselves."""
        left = [voter for voter in self.voters if voter.id != removed.id]
        return sum(voter.healthy for voter in left) > len(left) // 2


def _has(presence: Presence, member: SeenMember) -> bool:
    """Whether the member is the present instance's, in its present incarnation."""
    if not member.name:
        return presence.peer_url in member.peer_urls
    return presence.member == member.name
