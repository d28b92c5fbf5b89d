"""Decides the next change of the cluster's members. Pure; asked by the leader's supervisor only.

One change at a time, each with its evidence:

- Instances that are present and have no member are added as learners, one at a time (more are not
  possible before etcd 3.6), and promoted once they are in sync, until there are as many voters as
  `target_voters` says. Two instances are one voter and one learner: a hot standby.
- A voter that leaves is replaced first, if another instance is there for it: learner, promoted,
  and only then is the old one removed. A leader that leaves hands the leadership over first.
- `removal` says which members are removed.
- No change on a discovery view that failed or does not name this instance, and no removal on one
  that may be incomplete, but of members whose own instances say that they are leaving.
- When everyone is leaving, the whole service stops: then the members stay as they are.

A leader that has just been deposed may still act for a moment. Its changes go through the log like
any other, so they are ordered with the new leader's, and etcd refuses those that endanger quorum.
"""

from __future__ import annotations

from typing import Final

from formal_cluster_store_etcd.planning import removal
from formal_cluster_store_etcd.planning.changes import (
    AddLearner,
    Change,
    MoveLeader,
    Observation,
    Promote,
    Remove,
    UpdateAddress,
    Wait,
)
from formal_cluster_store_etcd.planning.roster import Roster

_CONNECTED_S: Final = 5.0  # etcd adds no one before each voter has been connected for so long


def plan(seen: Observation) -> Change | Wait:
    """The next change, or why there is none."""
    view = seen.view
    if view is None or seen.own_instance not in {instance.id for instance in view.instances}:
        return Wait("discovery gives no answer that names this instance; see its settings")
    roster = Roster(seen, view)
    if not roster.staying:
        return Wait("all instances are leaving: the members stay for the next start")
    return (
        removal.of_the_gone(roster)
        or _plan_handover(roster)
        or _plan_address(roster)
        or removal.of_the_leaving(roster)
        or removal.of_the_written_off(roster)
        or _plan_promotion(roster)
        or removal.of_the_stalled(roster)
        or removal.of_the_surplus(roster)
        or _plan_addition(roster)
    )


def _plan_handover(roster: Roster) -> MoveLeader | Wait | None:
    seen = roster.seen
    young = [
        presence.instance
        for presence in seen.presences
        if presence.draining
        and seen.leaving_s.get(presence.instance, 0.0) < seen.rules.leaving_settle_s
    ]
    if young:
        return Wait(f"{', '.join(sorted(young))} is leaving; waiting whether everyone is")
    healthy = [voter for voter in roster.lasting if voter.healthy]
    if not roster.is_leaving or not healthy:
        return None
    best = max(healthy, key=lambda voter: (voter.index, -voter.id))
    return MoveLeader(f"{seen.own_instance} leads and is leaving; {best} is in sync", best.id)


def _plan_address(roster: Roster) -> UpdateAddress | Remove | None:
    """A member that kept its data and has moved."""
    seen = roster.seen
    taken = {url for member in seen.members for url in member.peer_urls}
    by_name = {member.name: member for member in seen.members if member.name}
    for presence in seen.presences:
        member = by_name.get(presence.member)
        if member is None or presence.peer_url in taken:
            continue
        evidence = f"{presence.instance} has moved from {' '.join(member.peer_urls)}"
        if not member.is_learner:
            return UpdateAddress(evidence, member.id, presence.peer_url)
        if not member.healthy and roster.view.complete:
            # Before 3.5.31 and 3.6.12 etcd forgets that a member with a new address is a learner.
            return Remove(evidence, member.id)
    return None


def _plan_promotion(roster: Roster) -> Promote | Wait | None:
    learner, have = roster.learner, len(roster.lasting)
    if learner is None or have >= roster.target or not learner.name or not learner.healthy:
        return None
    if not roster.in_sync(learner):
        return None
    if _is_halfway(roster) and learner.healthy_s < _CONNECTED_S:
        return Wait(f"{learner} is promoted when the next one can be added at once")
    if sum(voter.healthy for voter in roster.voters) + 1 <= (len(roster.voters) + 1) // 2:
        return Wait(f"{learner} is not promoted: too few of the voters are healthy")
    return Promote(f"{learner} runs; {have} of {roster.target} voters", learner.id)


def _is_halfway(roster: Roster) -> bool:
    """Whether one more voter makes their number even, with another to follow.

    Two voters survive no failure, so they are to be two for as short as possible.
    """
    after = len(roster.voters) + 1
    return after % 2 == 0 and after < roster.target and not roster.leaving


def _plan_addition(roster: Roster) -> AddLearner | Wait:
    there, learner = len(roster.staying), roster.learner
    if learner is not None:
        if len(roster.lasting) >= roster.target:
            return Wait(f"{len(roster.lasting)} of {roster.target} voters; {learner} stands by")
        progress = "is not in sync yet" if learner.healthy else "was added and does not run yet"
        return Wait(f"{learner} {progress}")
    wanted = 2 if there == 2 else roster.target
    have = f"{len(roster.lasting)} of {wanted} members for {there} instances"
    if len(roster.lasting) >= wanted:
        return Wait(have)
    if not roster.candidates:
        return Wait(f"{have}; the others are not present, or their addresses belong to members")
    first = roster.candidates[0]
    return AddLearner(f"{have}; {first.instance} is present", first.instance, first.peer_url)
