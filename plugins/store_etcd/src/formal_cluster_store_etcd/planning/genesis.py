"""Decides who founds the cluster while none runs and nobody has data. Pure.

`plan` is asked again and again, each time with a round of probes that *began after the previous
step was persisted and shown*.

1. Every instance consents, in its identity file, to the founder it sees: the smallest (started_at,
   id) of those that answer. It consents to one incarnation at a time.
2. The founder, once it holds enough consents, first shows that it *intends* to found the cluster,
   then asks everyone again, and founds it only if the consents still stand (else it retracts).
3. An instance that would rather consent to another first *withdraws*: its consent counts for no one
   while it asks everyone again. It is free only if the one it had consented to does not intend.

"Enough" is everyone that discovery names and has not seen stop; after a deadline, a majority of all
it names, if none of them remembers an earlier cluster.

Why two clusters cannot form. Suppose A and B are both founded. Two majorities of one list share an
instance C, whose consent A and B both saw *after* they showed their intention. C gave one consent,
say A's, before the other, so it withdrew it in between, and then asked A. That was after A had seen
the consent, so after A had shown its intention, which A keeps until its etcd runs: C found A
intending and was not free. The other way to be free, when A's incarnation is gone, requires that
*everyone* answers and no one has data; then there is no cluster of A's left to be the second one.

What it assumes. Everyone goes by the same list (a static one; lists that change are not handled
yet). And an instance that has consented keeps its disk: if it loses it, a majority might be found
without it having anything to remember, so consent by majority is not safe against the loss of a
disk *and* the silence of another instance at once. Consent by everyone is.

Nothing here ever founds a cluster because time has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formal_cluster.model import Instance, InstanceState
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage
from formal_cluster_store_etcd.planning.observations import NoEtcd, Silent, Stranger
from formal_cluster_store_etcd.planning.peer_status import PeerStatus, status_of
from formal_cluster_store_etcd.planning.steps import (
    Found,
    GiveConsent,
    Intend,
    Observation,
    Retract,
    Rules,
    Step,
    Wait,
    WithdrawConsent,
    retract_or_wait,
)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round of probes says about founding a cluster.

    Attributes:
        others: Those of the others that answer. None of them has data.
        everyone: Whether nobody is missing.
        majority: How many consents are enough; None if only everyone's are.
    """

    own: Identity
    others: Sequence[PeerStatus]
    candidate: Consent
    everyone: bool
    majority: int | None

    @property
    def epoch(self) -> int:
        """The first one that no cluster, and no restoration, can have had."""
        known = (max(other.epoch, other.fence) for other in self.others)
        return max([self.own.epoch, self.own.fence, *known]) + 1

    def find(self, consent: Consent) -> PeerStatus | None:
        """The *other* instance consented to, if it answers."""
        return next((o for o in self.others if o.incarnation == consent.incarnation), None)

    @property
    def supporters(self) -> int:
        """How many let this instance found the cluster, itself included."""
        own = (self.own.consent,) if not self.own.withdrawing else ()
        consents = (*own, *(other.consent for other in self.others))
        return sum(c is not None and c.incarnation == self.own.incarnation for c in consents)

    @property
    def is_enough(self) -> bool:
        """Whether these are enough to found it."""
        if self.everyone and self.supporters == len(self.others) + 1:
            return True
        return self.majority is not None and self.supporters >= self.majority


def plan(seen: Observation, rules: Rules, expected: Sequence[Instance]) -> Step:
    """The next step of an instance without data that has found no live cluster."""
    own = seen.own
    alive = [i for i in expected if i.state is not InstanceState.STOPPED and i.id != own.instance]
    found = [seen.probes.get(instance.id, Silent("not asked")) for instance in alive]
    answers = [probe.status for probe in found if isinstance(probe, NoEtcd)]
    unclear = [probe.reason for probe in found if isinstance(probe, Silent | Stranger)]

    if any(isinstance(probe, Stranger) and probe.is_etcd for probe in found):
        return retract_or_wait(seen, f"no cluster is founded beside an etcd: {'; '.join(unclear)}")
    holders = [s for s in answers if s.has_data or _has_copy(s.copy_held)]
    if _has_copy(seen.copy_held):
        holders.append(status_of(own, None, copy_held=seen.copy_held))
    if holders:
        return retract_or_wait(seen, _describe_holders(holders))
    if seen.stable_s < rules.stable_s:
        return retract_or_wait(seen, "waiting until discovery names the same instances for a while")

    # Counted over the stopped ones too: one of them may have consented before it stopped.
    majority = len(expected) // 2 + 1
    remembered = _remembers(own) or any(map(_remembers, answers))
    by_majority = (
        len(answers) + 1 >= majority and seen.waited_s >= rules.deadline_s and not remembered
    )
    if unclear and not by_majority:
        return retract_or_wait(
            seen,
            _describe_silence(
                unclear,
                remembered=remembered,
                too_few=len(answers) + 1 < majority,
                left_s=rules.deadline_s - seen.waited_s,
            ),
        )
    return _plan_consent(
        _Round(
            own=own,
            others=answers,
            candidate=_first(expected, own, answers),
            everyone=not unclear,
            majority=majority if by_majority else None,
        )
    )


def _plan_consent(seen: _Round) -> Step:
    given = seen.own.consent
    if given is None:
        return GiveConsent("it is the first of those that answer", seen.candidate)
    if given.incarnation == seen.candidate.incarnation:
        if seen.own.withdrawing:
            return GiveConsent("it is the first of those that answer, again", seen.candidate)
        if given.incarnation == seen.own.incarnation:
            return _plan_founding(seen)
        return Wait(f"{given.instance} is to found the cluster; this instance has consented")
    if seen.own.stage is Stage.INTENDING:
        return Retract(f"{seen.candidate.instance} is to found the cluster")
    return _plan_change_of_consent(seen, given)


def _plan_founding(seen: _Round) -> Step:
    needed = seen.majority or len(seen.others) + 1
    consents = f"{seen.supporters} instances consent, {needed} are needed"
    if seen.own.stage is Stage.INTENDING:
        return Found(consents, seen.epoch) if seen.is_enough else Retract(consents)
    return Intend(consents) if seen.is_enough else Wait(f"{consents} to found the cluster")


def _plan_change_of_consent(seen: _Round, given: Consent) -> Step:
    holder = seen.find(given)
    if holder is not None and holder.intending:
        if seen.own.withdrawing:
            return GiveConsent("it intends to found the cluster", given)
        return Wait(f"{given.instance} is about to found the cluster")
    own = given.incarnation == seen.own.incarnation
    if holder is None and not own and not seen.everyone:
        return Wait(
            f"this instance has consented to {given.instance} ({given.incarnation}), which does "
            "not answer and may have founded the cluster. Start it again; if its disk is lost, "
            "start all others and this one decides anew"
        )
    preferred = f"{seen.candidate.instance} comes before {given.instance}"
    if not seen.own.withdrawing:
        return WithdrawConsent(preferred)
    return GiveConsent(preferred, seen.candidate)


def _first(expected: Sequence[Instance], own: Identity, answers: Sequence[PeerStatus]) -> Consent:
    started = {instance.id: instance.started_at or 0.0 for instance in expected}
    present = {status.instance: status.incarnation for status in answers}
    present[own.instance] = own.incarnation
    first = min(present, key=lambda id_: (started[id_], id_))
    return Consent(instance=first, incarnation=present[first])


def _has_copy(copy: Copy | None) -> bool:
    return copy is not None and not copy.is_empty


def _remembers(one: Identity | PeerStatus) -> bool:
    return one.cluster_id is not None or one.fence > 0


def _describe_holders(holders: Sequence[PeerStatus]) -> str:
    return "; ".join(
        f"{holder.instance} holds the cluster's data, and its etcd does not run"
        + (f": {holder.last_error}" if holder.last_error else " yet")
        if holder.has_data
        else f"{holder.instance} has set data aside that may be the last copy"
        for holder in holders
    )


def _describe_silence(
    unclear: Sequence[str], *, remembered: bool, too_few: bool, left_s: float
) -> str:
    reasons = "; ".join(unclear)
    if remembered:
        return (
            f"there was a cluster, and its data may be where nobody answers: {reasons}. Start "
            "those instances; if their data is lost for good, start them with empty directories"
        )
    if too_few:
        return f"less than a majority of the instances answers: {reasons}. Start the others"
    return f"waiting up to {left_s:.0f} s for everyone before a majority decides: {reasons}"
