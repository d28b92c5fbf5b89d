"""Which member is removed, and on what evidence. Pure; part of `membership`.

- *Gone*: there is proof that it will not come back as it was. Its instance is here again without
  its data, or the platform vouches that the instance has stopped, or it never started and its
  instance is gone. Silence is no proof.
- *Leaving*: its instance says so itself. Another takes its place first, if one is there.
- *Written off*: silent for minutes, though the platform says that it runs, and another is ready.
- *Stalled*: a learner that does not come forward while another instance waits for its place.
- *Surplus*: a voter too many, when the instances have become fewer for good.

The leader's own member is never removed, nor a voter unless a healthy quorum is left. On a view
that may be incomplete only those that are leaving are: they say so themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from formal_cluster.model import InstanceState
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.changes import Remove, SeenMember
from formal_cluster_store_etcd.planning.roster import Roster


def of_the_gone(roster: Roster) -> Remove | None:
    """A member whose end is proven."""
    if not roster.view.complete:
        return None
    for member, evidence in _the_gone(roster):
        if member.is_learner or roster.has_quorum_without(member):
            return Remove(evidence, member.id)
    return None


def of_the_leaving(roster: Roster) -> Remove | None:
    """A member whose instance leaves, unless it still has to wait for the one that replaces it."""
    seen = roster.seen
    for member in sorted(roster.leaving, key=lambda member: not member.is_learner):
        if member.id == seen.own_member:
            continue
        owner = roster.owner(member)
        if member.is_learner:
            return Remove(f"{owner} is leaving", member.id)
        if not any(voter.healthy for voter in roster.lasting):
            continue  # first someone who stays needs a vote
        waited_s = seen.leaving_s.get(owner or "", 0.0)
        if _is_being_replaced(roster) and waited_s < seen.rules.replace_leaver_within_s:
            continue
        if roster.has_quorum_without(member):
            return Remove(
                f"{owner} is leaving; {len(roster.lasting)} of {roster.target} voters stay",
                member.id,
            )
    return None


def of_the_written_off(roster: Roster) -> Remove | None:
    """A silent voter, once the learner that takes its place is in sync.

    Where the cluster takes no learner while a voter is silent, a candidate is enough: with the
    silent voter gone, no fewer failures are survived than with it.
    """
    if len(roster.lasting) >= roster.target:
        return None
    learner = roster.learner
    if learner is not None and roster.in_sync(learner):
        ready = f"{learner} is in sync to replace it"
    elif learner is None and roster.seen.add_refused and roster.candidates:
        ready = f"{roster.candidates[0].instance} can only be added when it is removed"
    else:
        return None
    for member in roster.written_off:
        if roster.has_quorum_without(member):
            return Remove(
                f"{member} has been silent for {member.silent_s:.0f} s; {ready}", member.id
            )
    return None


def of_the_stalled(roster: Roster) -> Remove | None:
    """A learner that is in the way of another instance."""
    learner = roster.learner
    if learner is None or not roster.candidates or not roster.view.complete:
        return None
    if learner.stalled_s < roster.seen.rules.stalled_learner_s:
        return None
    return Remove(
        f"{learner} has not advanced for {learner.stalled_s:.0f} s, and "
        f"{roster.candidates[0].instance} waits for its place",
        learner.id,
        evicted=roster.owner(learner),
    )


def of_the_surplus(roster: Roster) -> Remove | None:
    """A voter too many. Its instance goes on as a client, or as the learner that stands by."""
    seen, voters = roster.seen, roster.voters
    if len(voters) <= roster.target or seen.settled_s < seen.rules.shrink_after_s:
        return None
    if (
        not roster.view.complete
        or roster.leaving
        or roster.learners
        or not all(voter.healthy for voter in voters)
    ):
        return None
    zones = roster.zones(voters)
    presence_of = {p.member: p for p in seen.presences}

    def worth(voter: SeenMember) -> tuple[int, float, int]:
        presence = presence_of.get(voter.name)
        if presence is None:
            return 0, 0.0, voter.id
        return -zones[presence.zone], -(presence.started_at or 0.0), voter.id

    others = [voter for voter in voters if voter.id != seen.own_member]
    for voter in sorted(others, key=worth):
        if roster.has_quorum_without(voter):
            return Remove(
                f"{len(voters)} voters, and {roster.target} are right for "
                f"{len(roster.staying)} instances",
                voter.id,
            )
    return None


def _the_gone(roster: Roster) -> Iterator[tuple[SeenMember, str]]:
    seen = roster.seen
    claimed = {presence.peer_url for presence in seen.presences}
    stopped = [i.id for i in roster.view.instances if i.state is InstanceState.STOPPED]
    for member in seen.members:
        if member.healthy or member.id == seen.own_member:
            continue
        if roster.owner(member) in stopped:
            yield member, f"the platform says that {roster.owner(member)} has stopped"
        if not member.name:
            if member.is_learner and claimed.isdisjoint(member.peer_urls):
                yield member, f"{member} never started, and its instance is gone"
            continue
        for presence in seen.presences:
            if is_member_of(member.name, presence.instance) and presence.member != member.name:
                yield member, f"superseded: {presence.instance} is here again as {presence.member}"


def _is_being_replaced(roster: Roster) -> bool:
    """Whether another instance can still take the place of one that leaves."""
    if len(roster.lasting) >= roster.target or len(roster.voters) > roster.target:
        return False
    return roster.learner is not None or bool(roster.candidates)
