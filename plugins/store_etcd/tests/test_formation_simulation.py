"""The real planner under random schedules: one cluster at most, and one when faults stop.

`test_formation_exhaustive` proves the founding for three instances; here are one to five of them,
which join the cluster, restart its members and lose their disks. They act one small step at a time,
links fail one way at a time, and any instance may crash between any two steps. A schedule is drawn
from a seed; a failure prints the seed and the shortest schedule that still fails.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from formal_cluster.model import Instance
from formal_cluster_store_etcd.planning import formation
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Probe
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.planning.steps import (
    Found,
    Observation,
    Rules,
    SetAside,
    Start,
    Step,
    Wait,
    WithdrawConsent,
)
from formal_cluster_store_etcd.planning.transitions import identity_after

Planner = Callable[[Observation, Rules], Step]
Action = tuple[str, int, int]

EVERYONE = Rules(stable_s=0, deadline_s=float("inf"))
MAJORITY = Rules(stable_s=0, deadline_s=0)


@dataclass
class Disk:
    """What a crash leaves: the identity file, and the cluster whose data is here."""

    identity: Identity
    data: int | None = None


@dataclass
class Node:
    instance: Instance
    disk: Disk
    up: bool = True
    etcd_runs: bool = False
    probes: dict[str, Probe] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.instance.address}:2380"


class World:
    """Instances, their disks, and the clusters they founded: members by incarnation."""

    def __init__(self, size: int, rules: Rules, planner: Planner) -> None:
        self._incarnations = itertools.count(1)
        self._rules = rules
        self._planner = planner
        self.clusters: list[dict[str, ClusterMember]] = []
        self.cut: set[tuple[int, int]] = set()
        self.nodes = [
            Node(Instance(id=f"i{n}", address=f"10.0.0.{n}"), None)  # type: ignore[arg-type]
            for n in range(size)
        ]
        for node in self.nodes:
            node.disk = self._empty_disk(node)

    def act(self, action: Action) -> None:
        kind, one, other = action
        node, peer = self.nodes[one], self.nodes[other]
        match kind:
            case "probe" if node.up and peer is not node:
                self._probe(node, peer)
            case "decide" if node.up:
                self._decide(node)
            case "crash":
                node.up, node.etcd_runs, node.probes = False, False, {}
            case "lose disk" if not node.up:
                node.disk = self._empty_disk(node)
            case "boot":
                node.up = True
            case "cut":
                self.cut.add((one, other))
            case "heal":
                self.cut.discard((one, other))
            case "admit":
                self._admit(node)

    def settle(self) -> None:
        """The faults stop, and everyone acts a few times."""
        self.cut.clear()
        for node in self.nodes:
            node.up = True
        for _ in range(12):
            if all(node.etcd_runs or node.disk.identity.cluster_id for node in self.nodes):
                return
            for node in self.nodes:
                for peer in self.nodes:
                    if peer is not node:
                        self._probe(node, peer)
                self._decide(node)

    @property
    def alive(self) -> set[int]:
        """Clusters that anyone has data of."""
        return {node.disk.data for node in self.nodes if node.disk.data is not None}

    def _empty_disk(self, node: Node) -> Disk:
        return Disk(Identity.fresh(node.instance.id, node.url, f"{next(self._incarnations):08x}"))

    def _probe(self, node: Node, peer: Node) -> None:
        node.probes.pop(peer.instance.id, None)
        if not peer.up or (self.nodes.index(node), self.nodes.index(peer)) in self.cut:
            return
        if peer.etcd_runs:
            assert peer.disk.data is not None
            members = tuple(self.clusters[peer.disk.data].values())
            cluster_id = f"{peer.disk.data:x}"
            node.probes[peer.instance.id] = LiveEtcd(
                cluster_id,
                members,
                self._serves(peer.disk.data),
                Lineage(epoch=1, cluster_id=cluster_id, founded_at=0, founder="-"),
            )
        else:
            node.probes[peer.instance.id] = NoEtcd(status_of(peer.disk.identity, None))

    def _serves(self, cluster: int) -> bool:
        voters = {m.name for m in self.clusters[cluster].values() if not m.is_learner}
        running = {n.disk.identity.member for n in self.nodes if n.etcd_runs}
        return len(voters & running) > len(voters) // 2

    def _decide(self, node: Node) -> None:
        probes, node.probes = node.probes, {}
        if node.etcd_runs:
            return
        own = node.disk.identity
        if own.stage is Stage.MEMBER and node.disk.data is None:
            own = node.disk.identity = own.renewed(node.url, f"{next(self._incarnations):08x}")
        seen = Observation(
            own=own,
            peer_url=node.url,
            expected=tuple(n.instance for n in self.nodes),
            stable_s=1,
            waited_s=1,
            probes=probes,
        )
        step = self._planner(seen, self._rules)
        node.disk.identity = identity_after(step, own)
        match step:
            case Found():
                self.clusters.append({})
                node.disk.data = len(self.clusters) - 1
                self._run_etcd(node)
            case Start():
                if node.disk.data is None and step.cluster_id is not None:
                    node.disk.data = int(step.cluster_id, 16)
                if node.disk.data is not None:
                    self._run_etcd(node)
            case SetAside():
                node.disk = self._empty_disk(node)

    def _run_etcd(self, node: Node) -> None:
        assert node.disk.data is not None
        name = node.disk.identity.member
        self.clusters[node.disk.data][node.url] = ClusterMember(
            id=node.disk.data, name=name, peer_urls=(node.url,), client_urls=(), is_learner=False
        )
        node.etcd_runs = True

    def _admit(self, node: Node) -> None:
        """What the leader does for an instance that has joined as a client."""
        known = node.disk.identity.cluster_id
        if not node.up or node.disk.identity.has_data or known is None:
            return
        cluster = int(known, 16)
        if self._serves(cluster):
            self.clusters[cluster][node.url] = ClusterMember(
                id=cluster, name="", peer_urls=(node.url,), client_urls=(), is_learner=True
            )


def draw_schedule(seed: int, *, losing_disks: bool) -> tuple[int, list[Action]]:
    """The number of instances and what happens to them."""
    draw = random.Random(seed)
    size = draw.choice((1, 2, 3, 4, 5))
    pairs = list(itertools.permutations(range(size), 2))
    schedule: list[Action] = [("cut", *pair) for pair in pairs if draw.random() < 0.3]
    faults = ["crash", "boot", "boot", "admit", "admit"] + ["lose disk"] * losing_disks
    fault_rate = draw.choice((0.02, 0.1, 0.2))
    unasked: dict[int, list[int]] = {}
    for _ in range(draw.choice((50, 100, 200))):
        one = draw.randrange(size)
        if draw.random() < fault_rate:
            schedule.append((draw.choice(faults), one, one))
        elif pairs and draw.random() < fault_rate:
            schedule.append((draw.choice(("cut", "heal")), *draw.choice(pairs)))
        elif unasked.setdefault(one, draw.sample(range(size), size)):
            schedule.append(("probe", one, unasked[one].pop()))
        else:
            schedule.append(("decide", one, one))
            del unasked[one]
    return size, schedule


def verdict(size: int, schedule: Sequence[Action], rules: Rules, planner: Planner) -> str | None:
    """What is wrong after this schedule, None if nothing is."""
    world = World(size, rules, planner)
    for action in schedule:
        world.act(action)
        if len(world.alive) > 1:
            return "two clusters"
    world.settle()
    if len(world.alive) > 1:
        return "two clusters"
    if not world.alive:
        return "no cluster in the end"
    return None


def shortest(size: int, schedule: list[Action], rules: Rules, planner: Planner) -> list[Action]:
    """The schedule without every action that it can do without."""
    kept, step = schedule, max(1, len(schedule) // 2)
    while step:
        for start in range(0, len(kept), step):
            shorter = kept[:start] + kept[start + step :]
            if verdict(size, shorter, rules, planner) is not None:
                kept = shorter
                break
        else:
            step //= 2
    return kept


def first_failure(
    seeds: range, rules: Rules, planner: Planner, *, losing_disks: bool = False
) -> str | None:
    for seed in seeds:
        size, schedule = draw_schedule(seed, losing_disks=losing_disks)
        wrong = verdict(size, schedule, rules, planner)
        if wrong is not None:
            steps = shortest(size, schedule, rules, planner)
            return f"seed {seed}: {wrong}, {size} instances; shortest schedule: {steps}"
    return None


@pytest.fixture
def seeds() -> range:
    start = random.SystemRandom().randrange(1 << 32)
    return range(start, start + 600)


def test_consent_by_majority_makes_one_cluster_while_disks_are_kept(seeds):
    assert None is first_failure(seeds, MAJORITY, formation.plan)


def test_consent_by_everyone_makes_one_cluster_while_disks_are_kept(seeds):
    assert None is first_failure(seeds, EVERYONE, formation.plan)


def test_consent_by_everyone_never_makes_two_even_when_disks_are_lost(seeds):
    assert None is first_failure(seeds, EVERYONE, formation.plan, losing_disks=True)


# ── planted bugs: the simulation must find each ──────────────────────────────────────────────


def takes_silence_for_absence(seen: Observation, rules: Rules) -> Step:
    """Counts only the instances that answer."""
    own = seen.own.instance
    expected = tuple(i for i in seen.expected or () if i.id in seen.probes or i.id == own)
    return formation.plan(replace(seen, expected=expected), rules)


def never_changes_its_mind(seen: Observation, rules: Rules) -> Step:
    """Is safe, but may leave everyone waiting for someone else."""
    step = formation.plan(seen, rules)
    return Wait("no") if isinstance(step, WithdrawConsent) else step


@pytest.mark.parametrize(
    ("planner", "wrong"),
    [
        (takes_silence_for_absence, "two clusters"),
        (never_changes_its_mind, "no cluster in the end"),
    ],
)
def test_the_simulation_finds_a_planner_that(planner, wrong):
    found = first_failure(range(10_000), MAJORITY, planner)
    assert found is not None
    assert wrong in found
