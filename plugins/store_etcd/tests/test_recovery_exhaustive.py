"""The real planner under *every* schedule of a recovery: the old cluster never beside a new one.

Two voters of five and an instance without data are left. What the platform says of the three other
voters, which are dead, changes at will from one decision to the next: that all have stopped (the
cluster can get no quorum), or that one may be alive (it can). As in `test_formation_exhaustive`,
in each state every instance may ask any other once more in its round, or decide on the answers it
has, so any answer may be as old as the round, and anyone may be silent to anyone for as long as it
likes, which covers crashes with the disk kept. An etcd that runs may be stopped at any time. Where
it is said, instances may also lose their disks.

What must never be: the old cluster's etcd running, or two restorations, once one has begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest

from formal_cluster.model import Instance, InstanceState
from formal_cluster_store_etcd.names import member_name
from formal_cluster_store_etcd.planning import formation
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Identity, Stage, Vote
from formal_cluster_store_etcd.planning.lineage import Ancestor, Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Probe
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.planning.steps import (
    Found,
    IntendRestore,
    LiftFence,
    Observation,
    Restore,
    Rules,
    SetAside,
    Start,
    Step,
    Unfence,
)
from formal_cluster_store_etcd.planning.transitions import identity_after, restored

Planner = Callable[[Observation, Rules], Step]

RULES = Rules(stable_s=0, deadline_s=0)
ALIVE = tuple(Instance(id=f"i{n}", address=f"10.0.0.{n}") for n in range(3))
DEAD = tuple(Instance(f"d{n}", f"10.0.1.{n}", InstanceState.STOPPED) for n in range(3))
DOUBTED = (replace(DEAD[0], state=InstanceState.UNKNOWN), *DEAD[1:])
VOTERS = {
    member_name(instance.id, f"{n:08x}"): f"http://{instance.address}:2380"
    for n, instance in enumerate((*ALIVE[:2], *DEAD))
}
OLD, NEW = "a1", "b"


class Node(NamedTuple):
    """An instance's disk, and the cluster in which its etcd runs. `copies` says what it holds."""

    incarnation: str
    stage: Stage
    epoch: int
    fence: int = 0
    vote: tuple[int, str, str] | None = None
    intends: bool = False
    lifting: bool = False
    cluster: str | None = OLD
    runs: str | None = None


class State(NamedTuple):
    nodes: tuple[Node, ...]
    answers: tuple[frozenset[tuple[int, Node]], ...]
    losses_left: int

    def after(self, index: int, node: Node) -> State:
        """`index` has changed, and begins a new round."""
        nodes = (*self.nodes[:index], node, *self.nodes[index + 1 :])
        answers = (*self.answers[:index], frozenset(), *self.answers[index + 1 :])
        return State(nodes, answers, self.losses_left)


def voters_of(index: int, node: Node) -> dict[str, str]:
    if node.stage is Stage.MEMBER:
        return VOTERS
    own = member_name(ALIVE[index].id, node.incarnation)
    return {} if node.stage is Stage.UNFORMED else {own: f"http://{ALIVE[index].address}:2380"}


@cache
def identity_of(index: int, node: Node) -> Identity:
    url = f"http://{ALIVE[index].address}:2380"
    return Identity.fresh(ALIVE[index].id, url, node.incarnation).model_copy(
        update={
            "stage": node.stage,
            "epoch": node.epoch,
            "cluster_id": node.cluster,
            "founded_at": 0.0,
            "fence": node.fence,
            "vote": node.vote and Vote(**dict(zip(Vote.model_fields, node.vote, strict=True))),
            "intends_restore": node.intends,
            "lifting": node.lifting,
            "voters": voters_of(index, node),
            "source": "member" if node.stage is Stage.RESTORING else None,
        }
    )


@cache
def copy_of(index: int, node: Node) -> Copy | None:
    if node.stage is Stage.UNFORMED:
        return None
    return Copy(
        epoch=node.epoch,
        cluster_id=node.cluster,
        founded_at=0.0,
        term=2,
        index=10 + index,
        directory="member",
    )


@cache
def probe_of(index: int, node: Node) -> Probe:
    own = identity_of(index, node)
    if node.runs is None:
        return NoEtcd(status_of(own, None, copy_held=copy_of(index, node)))
    member = ClusterMember(index, own.member, (own.peer_url,), (), is_learner=False)
    epoch = 1 if node.runs == OLD else node.epoch
    ancestors = (Ancestor(epoch=1, cluster_id=OLD),) if epoch > 1 else ()
    lineage = Lineage(
        epoch=epoch, cluster_id=node.runs, ancestors=ancestors, founded_at=0.0, founder="-"
    )
    return LiveEtcd(node.runs, (member,), node.runs != OLD, lineage, own.member)


@cache
def decide(
    planner: Planner,
    dead: tuple[Instance, ...],
    index: int,
    node: Node,
    answers: frozenset[tuple[int, Node]],
    size: int,
) -> Node:
    own = identity_of(index, node)
    step = planner(
        Observation(
            own=own,
            peer_url=own.peer_url,
            expected=(*ALIVE[:size], *dead),
            stable_s=1,
            waited_s=1,
            probes={ALIVE[other].id: probe_of(other, found) for other, found in answers},
            copy_held=copy_of(index, node),
        ),
        RULES,
    )
    assert not isinstance(step, Found)  # there is always data in this model, or no decision
    after = identity_after(step, own)
    runs = None
    if isinstance(step, Restore) and node.stage is Stage.RESTORING:
        after = restored(after, own.peer_url)
    elif isinstance(step, Start):
        assert not own.fenced
        runs = f"{NEW}{index}" if node.stage is Stage.FOUNDING else OLD
    elif isinstance(step, SetAside):
        after = after.renewed(own.peer_url, own.incarnation)
    return Node(
        incarnation=after.incarnation,
        stage=after.stage,
        epoch=after.epoch,
        fence=after.fence,
        vote=after.vote and (after.vote.epoch, after.vote.instance, after.vote.incarnation),
        intends=after.intends_restore,
        lifting=after.lifting,
        cluster=after.cluster_id,
        runs=runs,
    )


def successors(state: State, planner: Planner) -> Iterator[State]:
    for index, (node, answers) in enumerate(zip(state.nodes, state.answers, strict=True)):
        if state.losses_left:
            lost = Node(f"{int(node.incarnation, 16) + 0x10:08x}", Stage.UNFORMED, 0, cluster=None)
            yield state.after(index, lost)._replace(losses_left=state.losses_left - 1)
        if node.runs is not None:
            yield state.after(index, node._replace(runs=None))
            continue
        asked = {other for other, _ in answers}
        for other in range(len(state.nodes)):
            if other != index and other not in asked:
                more = answers | {(other, state.nodes[other])}
                rounds = (*state.answers[:index], more, *state.answers[index + 1 :])
                yield state._replace(answers=rounds)
        for dead in (DEAD, DOUBTED):
            yield state.after(index, decide(planner, dead, index, node, answers, len(state.nodes)))


def is_split(state: State) -> bool:
    """Whether two clusters run, or would if all went on."""
    new = [n for n in state.nodes if n.stage in (Stage.RESTORING, Stage.FOUNDING)]
    old = [n for n in state.nodes if n.runs == OLD]
    return len(new) > 1 or bool(new and old)


def explore(planner: Planner, *, losses: int = 0, size: int = 2) -> tuple[int, bool, State | None]:
    """How many states can be reached, whether any has a restored cluster, and the first split."""
    nodes = (
        Node(f"{0:08x}", Stage.MEMBER, 1, runs=OLD),
        Node(f"{1:08x}", Stage.MEMBER, 1, runs=OLD),
        Node(f"{2:08x}", Stage.UNFORMED, 1),
    )
    start = State(nodes[:size], (frozenset(),) * size, losses)
    reached, waiting, recovered = {start}, deque([start]), False
    while waiting:
        state = waiting.popleft()
        if is_split(state):
            return len(reached), recovered, state
        recovered = recovered or any(node.runs not in (None, OLD) for node in state.nodes)
        for successor in successors(state, planner):
            if successor not in reached:
                reached.add(successor)
                waiting.append(successor)
    return len(reached), recovered, None


def test_the_old_cluster_never_runs_beside_a_restored_one_even_when_disks_are_lost():
    states, recovered, split = explore(formation.plan, losses=2)
    assert None is split
    assert recovered
    assert states > 3_000


@pytest.mark.slow
@pytest.mark.timeout(300)  # 20 s of computing
def test_nor_does_it_with_a_third_instance_that_has_to_agree():
    states, recovered, split = explore(formation.plan, size=3)
    assert None is split
    assert recovered
    assert states > 300_000


# ── planted bugs: the search must find each ──────────────────────────────────────────────────


def lifts_its_fence_without_asking(seen: Observation, rules: Rules) -> Step:
    """Starts its etcd as soon as a quorum seems possible again."""
    step = formation.plan(seen, rules)
    return Unfence(step.evidence) if isinstance(step, LiftFence) else step


def restores_without_asking_again(seen: Observation, rules: Rules) -> Step:
    """Restores its copy in the round in which it first has all votes."""
    step = formation.plan(seen, rules)
    return Restore(step.evidence, "member") if isinstance(step, IntendRestore) else step


def takes_silence_for_death(seen: Observation, rules: Rules) -> Step:
    """Does without those that do not answer."""
    own = seen.own.instance
    expected = tuple(
        i
        for i in seen.expected or ()
        if i.id in seen.probes or i.id == own or i.state is InstanceState.STOPPED
    )
    return formation.plan(replace(seen, expected=expected), rules)


def ignores_intentions(seen: Observation, rules: Rules) -> Step:
    """Lifts its fence though the one it has voted for is about to restore the cluster."""
    blind = {
        id_: NoEtcd(probe.status.model_copy(update={"restoring": False}))
        if isinstance(probe, NoEtcd) and probe.status.epoch == seen.own.epoch
        else probe
        for id_, probe in seen.probes.items()
    }
    return formation.plan(replace(seen, probes=blind), rules)


@pytest.mark.parametrize(
    "planner",
    [
        lifts_its_fence_without_asking,
        restores_without_asking_again,
        takes_silence_for_death,
        ignores_intentions,
    ],
)
def test_the_search_finds_a_planner_that(planner):
    _, _, split = explore(planner)
    assert split is not None
