"""Decides how a cluster that has lost its majority for good goes on from one copy. Pure.

`plan` is asked by an instance whose etcd does not run and that sees no cluster it could use, again
and again, each time with a round of probes that *began after the previous step was persisted and
shown*.

1. An instance with data *fences* itself for the next epoch if `gate` says that the voters which
   may still be alive cannot form a quorum: from then on its etcd does not start on this data.
   Instances without data follow those that have some. All go to the highest fence they see.
2. When every instance that discovery names and has not seen stop answers, and is fenced for the
   same epoch, each gives that epoch's one *vote* to the most advanced copy: cluster first, then the
   last entry of the log. Learners' copies count, and copies that were set aside.
3. The instance whose copy it is, once it has everyone's vote, shows that it *intends* to restore
   it, asks everyone again, and restores it only if all is as before. The restored cluster has a new
   id and that epoch. The others find it, see that it outranks their data, set that aside and join.
4. If a quorum turns out to be possible after all, the fence is *lifted*: neither fence nor vote
   count from then on, while the one voted for is asked again. Only if that one does not intend to
   restore anything, nor has, the etcd may start.

Whoever finds a better copy than the one it has voted for, or that the one voted for is dead, goes
to the next epoch and votes there.

Why the old cluster cannot serve beside the restored one. S restores for the epoch F only after it
has seen, of everyone who is not dead, the fence and the vote for F, *after* it had shown its
intention. To start its etcd again, an X must lift its fence, and then ask S. X began to after S had
seen the vote, so S then intends to restore, or has, or is silent; and X stays fenced. Nor does a
new vote make X forget S: X votes for T at F' > F only when everyone is fenced for F', S too, and a
fence for F' takes away S's intention at F.

Why two copies are not restored. Say S restores at F and T at F'. If F = F', each had the vote of
the other besides its own, at the same epoch. If F < F', T saw S fenced for F'. Either S had not
begun to restore: then its intention at F was gone. Or S had, which ends its fence and is never
given up: then S was fenced for F' as a member of the restored cluster, which had lost its own
majority for good, and whose copies outrank all older ones.

Why nothing committed is lost while one up-to-date copy lives. Everyone who is not dead has shown
its copy, and none changes while it is fenced. Of the copies of one cluster, the one with the
largest (term, index) has every committed entry that any of them has: that is raft's own rule for
whom to elect. A copy that cannot be read blocks the restoration.

Crashes. Each step is persisted before it is shown, so a restart continues with what the others may
have seen. A source that crashes while it restores goes on doing it, from the same copy, which stays
until the new data is complete. One that loses its disk comes back as a new incarnation with no vote
for it, and the others go to the next epoch.

What it assumes. That a platform's `STOPPED` is final; that a complete view names every instance
that runs, before it runs (one that begins to run later finds those that restore, and does not start
its etcd); and that an operator who vouches for the death of the silent is right.

Nothing here ever recovers because time has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from formal_cluster.model import InstanceState
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.gate import Gate, Quorum, look, operator_vouches
from formal_cluster_store_etcd.planning.identity import Identity, Vote
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Silent
from formal_cluster_store_etcd.planning.peer_status import PeerStatus, status_of
from formal_cluster_store_etcd.planning.steps import (
    Fence,
    GiveVote,
    IntendRestore,
    LiftFence,
    Observation,
    Restore,
    RetractRestore,
    Rules,
    SetAside,
    Step,
    Unfence,
    Wait,
    retract_or_wait,
)

ASK_OPERATOR = (
    "Start those instances. If they are gone for good, the platform has to say so, or run "
    "`formal-cluster recover --i-know-the-others-are-dead` at one of the instances left"
)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round of probes says about a restoration.

    Attributes:
        own: What this instance shows to the others.
        others: The others that answer and run no etcd.
        missing: Why each of those that do not is needed.
        started: When each instance started.
    """

    own: PeerStatus
    others: Sequence[PeerStatus]
    missing: Sequence[str]
    started: Mapping[str, float]

    @property
    def everyone(self) -> Sequence[PeerStatus]:
        """All who answer, this instance among them."""
        return self.own, *self.others

    @property
    def best(self) -> PeerStatus | None:
        """Who has the most advanced copy; None if there is none with anything in it."""
        holders = [s for s in self.everyone if s.copy_held is not None and not s.copy_held.is_empty]
        first = sorted(holders, key=lambda s: (self.started.get(s.instance, 0.0), s.instance))
        return max(first, key=lambda s: _copy_of(s).merit, default=None)

    @property
    def nobody_has_data(self) -> bool:
        """Whether everyone answers, and no copy that anyone has has anything in it."""
        unread = any(s.has_data and s.copy_held is None for s in self.everyone)
        return not self.missing and not unread and self.best is None

    def find(self, vote: Vote) -> PeerStatus | None:
        """The *other* instance voted for, if it answers and runs no etcd."""
        return next((s for s in self.others if s.incarnation == vote.incarnation), None)


def plan(seen: Observation, rules: Rules) -> Step | None:
    """The next step; None if nothing is to be recovered."""
    if seen.expected is None:
        return _without_discovery(seen) if seen.own.fenced else None
    found, gate = _round(seen), look(seen)
    if not seen.own.fenced:
        return _plan_fence(seen, found, gate)
    if gate.quorum is Quorum.POSSIBLE:
        return _plan_lifting(seen, found, gate.evidence)
    if found.nobody_has_data:
        # `genesis` decides, among those without data.
        return SetAside("nobody has any data, nor this instance") if seen.own.has_data else None
    return _plan_vote(seen, found, gate, rules)


def plan_return(seen: Observation, evidence: str) -> Step:
    """The next step of a fenced instance whose own cluster runs after all."""
    return _plan_lifting(seen, _round(seen), evidence)


def _without_discovery(seen: Observation) -> Step:
    return retract_or_wait(
        seen,
        f"fenced for epoch {seen.own.fence}; discovery gives no complete answer that names this "
        "instance, see its settings",
    )


def _plan_fence(seen: Observation, found: _Round, gate: Gate) -> Step | None:
    if seen.own.has_data:
        if gate.quorum is not Quorum.IMPOSSIBLE:
            return None
        return Fence(gate.evidence, _next_fence(found))
    holders = [status for status in found.others if status.has_data]
    fenced = [status.instance for status in holders if status.fenced_for]
    if fenced and gate.quorum is not Quorum.POSSIBLE:
        return Fence(f"{fenced[0]}, which has data, is fenced", _next_fence(found))
    if found.best is not None and not holders and not found.missing:
        return Fence("all data that is left was set aside", _next_fence(found))
    return None


def _plan_vote(seen: Observation, found: _Round, gate: Gate, rules: Rules) -> Step:
    own = seen.own
    fence = max(own.fence, _next_fence(found))
    if fence > own.fence or own.lifting:
        return Fence(gate.evidence, fence)
    hindrances = [*found.missing, *_unready(found.everyone, own.fence)]
    if seen.stable_s < rules.stable_s:
        hindrances.append("waiting until discovery names the same instances for a while")
    if hindrances:
        return retract_or_wait(seen, f"fenced for epoch {own.fence}; {'; '.join(hindrances)}")
    best = found.best
    if best is None:
        return retract_or_wait(seen, "nobody who answers has any data")
    copy = _copy_of(best)
    merit = f"{best.instance} has the most advanced copy: epoch {copy.epoch}, term {copy.term}, "
    merit += f"index {copy.index}"
    if own.vote is None or own.vote.epoch < own.fence:
        vote = Vote(epoch=own.fence, instance=best.instance, incarnation=best.incarnation)
        return GiveVote(merit, vote)
    if own.vote.incarnation != best.incarnation:
        other = found.find(own.vote)
        if other is not None and other.restoring:
            return Wait(f"{other.instance} is about to restore the cluster")
        return Fence(f"{merit}; the vote for this epoch was {own.vote.instance}'s", own.fence + 1)
    if best is not found.own:
        return Wait(f"{merit}, and is to restore the cluster; this instance has voted")
    return _plan_restoration(seen, found, copy)


def _plan_restoration(seen: Observation, found: _Round, copy: Copy) -> Step:
    votes = sum(status.vote == seen.own.vote for status in found.everyone)
    counted = f"{votes} of {len(found.everyone)} instances have voted for the copy here"
    if votes < len(found.everyone):
        return retract_or_wait(seen, counted)
    if seen.own.intends_restore:
        return Restore(counted, copy.directory)
    return IntendRestore(counted)


def _plan_lifting(seen: Observation, found: _Round, evidence: str) -> Step:
    """Two steps: see the module's docstring."""
    own = seen.own
    if own.intends_restore:
        return RetractRestore(evidence)
    newer = [s.instance for s in found.others if _is_beyond(s, own)]
    if newer:
        return Wait(f"{' and '.join(newer)} may have newer data than this instance; {ASK_OPERATOR}")
    if own.vote is None or own.vote.incarnation == own.incarnation:
        return Unfence(evidence)
    if not own.lifting:
        return LiftFence(evidence)
    holder, probe = found.find(own.vote), seen.probes.get(own.vote.instance)
    if holder is not None:
        if holder.restoring:
            return Fence(f"{holder.instance} is about to restore the cluster", own.fence)
        return Unfence(f"{evidence}; {holder.instance} does not restore the cluster")
    if isinstance(probe, LiveEtcd):
        if probe.cluster_id == own.cluster_id:
            return Unfence(f"{evidence}; {own.vote.instance} is in it")
        return Wait(f"{own.vote.instance}, which was voted for, runs another cluster")
    if found.missing:
        return Wait(f"{own.vote.instance} may have restored the cluster; {found.missing[0]}")
    return Unfence(f"{evidence}; {own.vote.instance}, which was voted for, is gone")


def _round(seen: Observation) -> _Round:
    return _Round(
        own=status_of(seen.own, None, copy_held=seen.copy_held, peer_url=seen.peer_url),
        others=[probe.status for probe in seen.probes.values() if isinstance(probe, NoEtcd)],
        missing=list(_missing(seen)),
        started={instance.id: instance.started_at or 0.0 for instance in seen.expected or ()},
    )


def _missing(seen: Observation) -> Iterator[str]:
    if seen.expected is None:
        yield "discovery gives no complete answer"
        return
    vouched = operator_vouches(seen)
    for instance in seen.expected:
        probe = seen.probes.get(instance.id, Silent("it was not asked"))
        if instance.id == seen.own.instance or isinstance(probe, NoEtcd):
            continue
        if isinstance(probe, LiveEtcd):
            yield f"{instance.id} still runs its etcd"
        elif instance.state is InstanceState.STOPPED or (vouched and isinstance(probe, Silent)):
            continue
        else:
            yield f"{instance.id} is needed: {probe.reason}. {ASK_OPERATOR}"


def _unready(everyone: Sequence[PeerStatus], fence: int) -> Iterator[str]:
    for status in everyone:
        if status.fenced_for != fence:
            yield f"{status.instance} is not fenced for it yet"
        elif status.has_data and status.copy_held is None:
            yield (
                f"the data of {status.instance} cannot be read: {status.last_error}. If it is lost "
                "for good, move its member directory away"
            )


def _next_fence(found: _Round) -> int:
    """The highest one that anyone has, and beyond all data."""
    return max(max(s.fenced_for, s.epoch + 1) for s in found.everyone)


def _is_beyond(other: PeerStatus, own: Identity) -> bool:
    """Whether it may be of a cluster that was restored with this instance's vote, or after it."""
    if own.vote is not None and other.epoch >= own.vote.epoch:
        return True
    return other.has_data and own.has_data and other.epoch > own.epoch


def _copy_of(status: PeerStatus) -> Copy:
    assert status.copy_held is not None
    return status.copy_held
