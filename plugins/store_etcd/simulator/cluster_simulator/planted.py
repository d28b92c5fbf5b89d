"""Planners with a bug each. The simulator has to find every one of them.

Each is the real planner with one thing changed, as a mistake in it would: in what it sees, or in
what it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cluster_simulator.planners import Planners
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_store_etcd.planning import changes, formation, membership, vigil
from formal_cluster_store_etcd.planning.changes import Change, Remove
from formal_cluster_store_etcd.planning.identity import Stage
from formal_cluster_store_etcd.planning.observations import NoEtcd, Probe
from formal_cluster_store_etcd.planning.peer_status import PeerStatus
from formal_cluster_store_etcd.planning.roster import Roster
from formal_cluster_store_etcd.planning.steps import (
    Fence,
    Found,
    Intend,
    Observation,
    Rules,
    Start,
    Step,
    Wait,
    WithdrawConsent,
)


def _silence_is_absence(seen: Observation, rules: Rules) -> Step:
    """Nobody is waited for who does not answer."""
    own = seen.own.instance
    answer = {id_ for id_, probe in seen.probes.items() if isinstance(probe, NoEtcd)} | {own}
    expected = seen.expected and tuple(i for i in seen.expected if i.id in answer)
    return formation.plan(replace(seen, expected=expected), rules)


def _founds_without_intention(seen: Observation, rules: Rules) -> Step:
    step = formation.plan(seen, rules)
    return Found(step.evidence) if isinstance(step, Intend) else step


def _founds_after_a_time(seen: Observation, rules: Rules) -> Step:
    step = formation.plan(seen, rules)
    waits = isinstance(step, Wait) and not seen.own.has_data and seen.own.cluster_id is None
    return Found("has waited long enough") if waits and seen.waited_s > 20 else step


def _consents_to_another_at_once(seen: Observation, rules: Rules) -> Step:
    step = formation.plan(seen, rules)
    if not isinstance(step, WithdrawConsent):
        return step
    own = seen.own.model_copy(update={"consent": None})
    return formation.plan(replace(seen, own=own), rules)


def _founds_beside_data(seen: Observation, rules: Rules) -> Step:
    """Data that nobody runs an etcd on is taken for worthless."""
    if seen.own.has_data:
        return formation.plan(seen, rules)
    worthless = {"has_data": False, "copy_held": None, "fence": 0, "cluster_id": None}
    return formation.plan(_showing(seen, worthless), rules)


def _doubted_are_dead(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    dead = InstanceState.STOPPED
    doubted = InstanceState.UNKNOWN
    return tuple(replace(i, state=dead) if i.state is doubted else i for i in instances)


def _unknown_is_dead(seen: Observation, rules: Rules) -> Step:
    expected = None if seen.expected is None else _doubted_are_dead(seen.expected)
    return formation.plan(replace(seen, expected=expected), rules)


def _unknown_is_dead_for_the_vigil(
    seen: Observation, leaderless_s: float, rules: Rules
) -> vigil.KeepRunning | vigil.StopEtcd:
    expected = None if seen.expected is None else _doubted_are_dead(seen.expected)
    return vigil.plan(replace(seen, expected=expected), leaderless_s, rules)


def _unknown_is_dead_for_the_leader(seen: changes.Observation) -> Change | changes.Wait:
    view = seen.view and View(_doubted_are_dead(seen.view.instances), complete=seen.view.complete)
    return membership.plan(replace(seen, view=view))


def _recovers_without_the_silent(seen: Observation, rules: Rules) -> Step:
    if not seen.own.fenced:
        return formation.plan(seen, rules)
    return _silence_is_absence(seen, rules)


def _restores_the_first_copy(seen: Observation, rules: Rules) -> Step:
    """All copies are as good as each other."""
    same = {"term": 1, "index": 1}
    held = seen.copy_held.model_copy(update=same) if seen.copy_held is not None else None
    probes: dict[str, Probe] = {}
    for id_, probe in seen.probes.items():
        copy = probe.status.copy_held if isinstance(probe, NoEtcd) else None
        if isinstance(probe, NoEtcd) and copy is not None and not copy.is_empty:
            shown = {"copy_held": copy.model_copy(update=same)}
            probes[id_] = NoEtcd(probe.status.model_copy(update=shown))
        else:
            probes[id_] = probe
    return formation.plan(replace(seen, copy_held=held, probes=probes), rules)


def _starts_though_fenced(seen: Observation, rules: Rules) -> Step:
    """As if the fence had not been persisted."""
    own = seen.own
    if own.fenced and own.stage is Stage.MEMBER and not seen.probes:
        return Start("it has data", {own.member: own.peer_url})
    return formation.plan(seen, rules)


def _never_fences(seen: Observation, rules: Rules) -> Step:
    step = formation.plan(seen, rules)
    return Wait(step.evidence) if isinstance(step, Fence) else step


def _removes_on_any_view(seen: changes.Observation) -> Change | changes.Wait:
    view = seen.view and replace(seen.view, complete=True)
    return membership.plan(replace(seen, view=view))


def _removes_whoever_is_absent(seen: changes.Observation) -> Change | changes.Wait:
    """A voter that discovery does not name is removed."""
    step = membership.plan(seen)
    if seen.view is None or not isinstance(step, changes.Wait):
        return step
    roster = Roster(seen, seen.view)
    for voter in roster.voters:
        named = {instance.id for instance in seen.view.instances}
        if voter.id != seen.own_member and roster.owner(voter) not in named:
            return Remove("discovery does not name it", voter.id)
    return step


def _removes_without_a_quorum_left(seen: changes.Observation) -> Change | changes.Wait:
    """A silent voter is removed at once, whoever is left."""
    step = membership.plan(seen)
    silent = [m for m in seen.members if not m.healthy and not m.is_learner]
    if isinstance(step, changes.Wait) and silent and seen.view is not None:
        return Remove("it does not answer", silent[0].id)
    return step


def _never_promotes(seen: changes.Observation) -> Change | changes.Wait:
    step = membership.plan(seen)
    return changes.Wait("no") if isinstance(step, changes.Promote) else step


def _adds_without_bound(seen: changes.Observation) -> Change | changes.Wait:
    """The cap is ignored."""
    return membership.plan(replace(seen, rules=replace(seen.rules, voters=99)))


def _showing(seen: Observation, shown: Mapping[str, object]) -> Observation:
    def altered(status: PeerStatus) -> PeerStatus:
        return status.model_copy(update=dict(shown))

    probes = {
        id_: NoEtcd(altered(probe.status)) if isinstance(probe, NoEtcd) else probe
        for id_, probe in seen.probes.items()
    }
    return replace(seen, probes=probes)


PLANTED: Mapping[str, Planners] = {
    "silence is taken for absence": Planners(formation=_silence_is_absence),
    "founds without the intention phase": Planners(formation=_founds_without_intention),
    "founds because time has passed": Planners(formation=_founds_after_a_time),
    "consents to another at once": Planners(formation=_consents_to_another_at_once),
    "founds beside data": Planners(formation=_founds_beside_data),
    "unknown is taken for dead": Planners(
        formation=_unknown_is_dead,
        vigil=_unknown_is_dead_for_the_vigil,
        membership=_unknown_is_dead_for_the_leader,
    ),
    "recovers without the silent": Planners(formation=_recovers_without_the_silent),
    "restores the first copy, not the best": Planners(formation=_restores_the_first_copy),
    "starts though fenced": Planners(formation=_starts_though_fenced),
    "never fences": Planners(formation=_never_fences),
    "removes on an incomplete view": Planners(membership=_removes_on_any_view),
    "removes whoever is absent": Planners(membership=_removes_whoever_is_absent),
    "removes without a quorum left": Planners(membership=_removes_without_a_quorum_left),
    "never promotes": Planners(membership=_never_promotes),
    "ignores the cap": Planners(membership=_adds_without_bound),
}
