"""The real planner under *every* schedule of three instances: never two clusters.

The reachable states are searched breadth first. In each, every instance may ask any of the others
once more in its round, or decide on the answers it has: so any answer may be as old as the round,
and any instance may be silent to any other for as long as it likes, which covers crashes with the
disk kept and links that fail one way. Where it is said, instances may also lose their disks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest

from formal_cluster.model import Instance
from formal_cluster_store_etcd.planning import formation
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Probe
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.planning.steps import (
    Found,
    Intend,
    Observation,
    Rules,
    Start,
    Step,
    WithdrawConsent,
)
from formal_cluster_store_etcd.planning.transitions import identity_after

Planner = Callable[[Observation, Rules], Step]

INSTANCES = tuple(Instance(id=f"i{n}", address=f"10.0.0.{n}") for n in range(3))
EVERYONE = Rules(stable_s=0, deadline_s=float("inf"))
MAJORITY = Rules(stable_s=0, deadline_s=0)


class Node(NamedTuple):
    """An instance's disk. The incarnation counts its lost ones; `data` is a founder's."""

    incarnation: str
    stage: Stage = Stage.UNFORMED
    consent: str | None = None
    withdrawing: bool = False
    data: str | None = None


class State(NamedTuple):
    nodes: tuple[Node, ...]
    answers: tuple[frozenset[tuple[int, Node]], ...]
    losses_left: int

    def after(self, index: int, node: Node) -> State:
        """`index` has changed, and begins a new round."""
        nodes = (*self.nodes[:index], node, *self.nodes[index + 1 :])
        answers = (*self.answers[:index], frozenset(), *self.answers[index + 1 :])
        return State(nodes, answers, self.losses_left)


@cache
def identity_of(index: int, node: Node) -> Identity:
    own = Identity.fresh(INSTANCES[index].id, f"http://10.0.0.{index}:2380", node.incarnation)
    return own.model_copy(
        update={
            "stage": node.stage,
            "consent": node.consent and Consent(instance="-", incarnation=node.consent),
            "withdrawing": node.withdrawing,
        }
    )


@cache
def probe_of(index: int, node: Node) -> Probe:
    own = identity_of(index, node)
    if node.data is None:
        return NoEtcd(status_of(own, None))
    member = ClusterMember(index, own.member, (own.peer_url,), (), is_learner=False)
    return LiveEtcd(node.data, (member,), serving=True)


@cache
def decide(
    planner: Planner, rules: Rules, index: int, node: Node, answers: frozenset[tuple[int, Node]]
) -> Node:
    own = identity_of(index, node)
    step = planner(
        Observation(
            own=own,
            peer_url=own.peer_url,
            expected=INSTANCES,
            stable_s=1,
            waited_s=1,
            probes={INSTANCES[other].id: probe_of(other, found) for other, found in answers},
        ),
        rules,
    )
    assert not isinstance(step, Start)  # nobody is added in this model: who joins is done
    after = identity_after(step, own)
    return Node(
        incarnation=node.incarnation,
        stage=after.stage,
        consent=after.consent and after.consent.incarnation,
        withdrawing=after.withdrawing,
        data=node.incarnation if isinstance(step, Found) else None,
    )


def successors(state: State, planner: Planner, rules: Rules) -> Iterator[State]:
    for index, (node, answers) in enumerate(zip(state.nodes, state.answers, strict=True)):
        if state.losses_left:
            lost = Node(f"{int(node.incarnation, 16) + 0x10:08x}")
            yield state.after(index, lost)._replace(losses_left=state.losses_left - 1)
        if node.data is not None:
            continue
        asked = {other for other, _ in answers}
        for other in range(3):
            if other != index and other not in asked:
                more = answers | {(other, state.nodes[other])}
                rounds = (*state.answers[:index], more, *state.answers[index + 1 :])
                yield state._replace(answers=rounds)
        yield state.after(index, decide(planner, rules, index, node, answers))


def explore(planner: Planner, rules: Rules, *, losses: int = 0) -> tuple[int, State | None]:
    """How many states can be reached, and the first one with two clusters."""
    nodes = tuple(Node(f"{n:08x}") for n in range(3))
    start = State(nodes, (frozenset(),) * 3, losses)
    reached, waiting = {start}, deque([start])
    while waiting:
        state = waiting.popleft()
        if sum(node.data is not None for node in state.nodes) > 1:
            return len(reached), state
        for successor in successors(state, planner, rules):
            if successor not in reached:
                reached.add(successor)
                waiting.append(successor)
    return len(reached), None


def test_a_majority_never_founds_two_clusters_while_disks_are_kept():
    states, two_clusters = explore(formation.plan, MAJORITY)
    assert None is two_clusters
    assert states > 10_000


def test_everyone_never_founds_two_clusters_even_when_a_disk_is_lost():
    states, two_clusters = explore(formation.plan, EVERYONE, losses=1)
    assert None is two_clusters
    assert states > 10_000


# ── planted bugs: the search must find each ──────────────────────────────────────────────────


def changes_its_mind_at_once(seen: Observation, rules: Rules) -> Step:
    """Gives its consent to another without withdrawing it first."""
    step = formation.plan(seen, rules)
    if isinstance(step, WithdrawConsent):
        return formation.plan(_with_consent(seen, None), rules)
    return step


def founds_without_asking_again(seen: Observation, rules: Rules) -> Step:
    """Founds the cluster in the round in which it first holds enough consents."""
    step = formation.plan(seen, rules)
    return Found(step.evidence) if isinstance(step, Intend) else step


def ignores_intentions(seen: Observation, rules: Rules) -> Step:
    """Withdraws its consent and is free without having asked."""
    blind = {
        id_: NoEtcd(probe.status.model_copy(update={"intending": False}))
        if isinstance(probe, NoEtcd)
        else probe
        for id_, probe in seen.probes.items()
    }
    return formation.plan(replace(seen, probes=blind), rules)


def takes_silence_for_absence(seen: Observation, rules: Rules) -> Step:
    """Counts only the instances that answer."""
    own = seen.own.instance
    expected = tuple(i for i in seen.expected or () if i.id in seen.probes or i.id == own)
    return formation.plan(replace(seen, expected=expected), rules)


def _with_consent(seen: Observation, consent: Consent | None) -> Observation:
    return replace(seen, own=seen.own.model_copy(update={"consent": consent}))


@pytest.mark.parametrize(
    "planner",
    [
        changes_its_mind_at_once,
        founds_without_asking_again,
        ignores_intentions,
        takes_silence_for_absence,
    ],
)
def test_the_search_finds_a_planner_that(planner):
    _, two_clusters = explore(planner, MAJORITY)
    assert two_clusters is not None
