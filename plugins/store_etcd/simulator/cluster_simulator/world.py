"""The state of everything: instances with their disks, the links between them, the clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster_simulator.discovery import Outlook, Record
from cluster_simulator.disk import Disk
from cluster_simulator.planners import Planners
from cluster_simulator.raft import Replica
from formal_cluster.model import Instance
from formal_cluster_store_etcd.peers.cluster_watch import Members
from formal_cluster_store_etcd.peers.leader_memory import LeaderMemory
from formal_cluster_store_etcd.planning import changes, steps
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import Probe
from formal_cluster_store_etcd.planning.peer_status import PeerStatus
from formal_cluster_store_etcd.planning.presence import Presence
from formal_cluster_store_etcd.planning.vigil import StopEtcd

PEER_PORT, CLIENT_PORT = 2380, 2379


@dataclass(slots=True)
class Round:
    """A round of probes on its way: each answer is of the moment in which it was asked."""

    named: tuple[Instance, ...]
    complete: bool
    stable_s: float
    unasked: list[Instance]
    probes: dict[str, Probe] = field(default_factory=dict)


@dataclass(slots=True)
class Watch:
    """What the instance knows of the cluster that it follows; see `peers.cluster_watch`."""

    cluster_id: str | None = None
    lineage: Lineage | None = None
    voters: tuple[ClusterMember, ...] = ()
    """The members that are asked."""
    seen: Members = field(default_factory=Members)
    answered_at: float | None = None


@dataclass(slots=True)
class Announced:
    """The presence that was last written, and when."""

    draining: bool
    member: str
    at: float


@dataclass(slots=True)
class Views:
    """What discovery last said; see `peers.views`."""

    named: tuple[Instance, ...] | None = None
    complete: bool = False
    asked_at: float = float("-inf")
    same_since: float = 0.0


@dataclass(slots=True)
class Memory:
    """What an instance's process forgets when it ends."""

    watch: Watch = field(default_factory=Watch)
    round: Round | None = None
    step: steps.Step | StopEtcd | None = None
    """Decided and persisted, but not carried out yet."""
    change: changes.Change | None = None
    """Likewise, as the leader."""
    leading: LeaderMemory | None = None
    announced: Announced | None = None
    prepared: bool = False
    was_removed: bool = False
    etcd_since: float = 0.0
    presences: tuple[Presence, ...] = ()
    looked_around_at: float = float("-inf")
    leaving_since: float | None = None
    left_as: str | None = None
    removed_at: float | None = None
    views: Views = field(default_factory=Views)
    began: float = 0.0


@dataclass(slots=True)
class Node:
    """One instance: what the platform made of it, its disk, its process.

    Attributes:
        alive: False once it is dead for good.
        up: Whether its process runs, and with it perhaps its etcd (`etcd`).
        paused: Its processes are stopped, and go on later with what they remember.
        skew: How far its clock is off, seconds.
    """

    index: int
    record: Record
    disk: Disk
    address: str
    skew: float = 0.0
    alive: bool = True
    up: bool = False
    etcd: bool = False
    paused: bool = False
    memory: Memory = field(default_factory=Memory)
    outlook: Outlook = field(default_factory=Outlook)
    shown: tuple[Identity, Replica | None, tuple[int, int], str, PeerStatus] | None = None

    @property
    def id(self) -> str:
        """The instance's id."""
        return self.record.id

    @property
    def peer_url(self) -> str:
        """Where it is reached now."""
        return f"http://{self.address}:{PEER_PORT}"

    @property
    def client_url(self) -> str:
        """Where its etcd serves clients now."""
        return f"http://{self.address}:{CLIENT_PORT}"

    @property
    def own(self) -> Identity:
        """The identity on its disk; the instance has run."""
        return self.disk.own

    @property
    def acts(self) -> bool:
        """Whether its processes do anything at all."""
        return self.up and not self.paused

    @property
    def replica(self) -> Replica | None:
        """That of its etcd, if it runs."""
        return self.disk.replica if self.etcd else None


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change during a schedule.

    Attributes:
        size: How many instances there are at first.
        formation: The planners' rules, with the times as short as the simulated ones;
            likewise `membership`.
        view_lag_s: How old a complete view may be at most.
        strict_adds: Whether the cluster refuses an addition while a voter is silent.
        grace_s: How long an instance that leaves may take.
        salt: For what is drawn while the schedule runs: names, start times, clocks.
    """

    size: int
    formation: steps.Rules
    membership: changes.Rules
    view_lag_s: float
    strict_adds: bool
    grace_s: float
    salt: int


class World:
    """Everything there is. The modules beside this one say how it changes."""

    def __init__(self, setting: Setting, planners: Planners) -> None:
        self.setting = setting
        self.planners = planners
        self.now = 0.0
        self.nodes: list[Node] = []
        self.cut: set[tuple[int, int]] = set()
        self.at: dict[str, Node] = {}
        self.acknowledged: set[int] = set()
        self.wrongs: list[str] = []
        self.journal: list[str] | None = None
        self._counter = 0
        self.dice = random.Random(setting.salt)

    def number(self) -> int:
        """One that was never given before."""
        self._counter += 1
        return self._counter

    def random_id(self) -> str:
        """A cluster's id or an incarnation: eight hexadecimal digits, in no order."""
        return f"{self.dice.getrandbits(32):08x}"

    def clock(self) -> float:
        """The one clock."""
        return self.now

    def hears(self, sender: Node, receiver: Node) -> bool:
        """Whether a message arrives and is taken."""
        return receiver.acts and (sender.index, receiver.index) not in self.cut

    def linked(self, one: Node, other: Node) -> bool:
        """Whether a question arrives, and its answer too."""
        return self.hears(one, other) and self.hears(other, one)

    def listen(self, node: Node) -> None:
        """Its process takes its address."""
        self.at |= dict.fromkeys((node.address, node.peer_url, node.client_url), node)

    def hang_up(self, node: Node) -> None:
        """Its process leaves its address."""
        for where in (node.address, node.peer_url, node.client_url):
            del self.at[where]

    def node_at(self, url: str) -> Node | None:
        """The instance whose process listens at one of its URLs."""
        return self.at.get(url)

    def etcd_of(self, member: ClusterMember, asker: Node) -> tuple[Node, Replica] | None:
        """The running etcd of a member, if the asker's etcd has a connection to it.

        It has one if either knows where the other is: etcd sends over streams that the receiver
        has opened, too.
        """
        own = asker.replica
        if own is None:
            return None
        node = self.node_at(member.peer_urls[0])
        if node is not None:
            replica = node.replica
            if replica is not None and _is(replica, member.id, own.cluster_id):
                return node, replica
        for node, replica in self.running:
            if _is(replica, member.id, own.cluster_id):
                listed = replica.contents.members.get(own.member_id)
                if listed is not None and asker.peer_url in listed.peer_urls:
                    return node, replica
        return None

    def add(self, *, address: str, disk: Disk, born_at: float) -> Node:
        """A new instance, which does not run yet."""
        index = len(self.nodes)
        started_at = born_at + self.dice.choice((0.0, 0.0, -30.0, 30.0))
        record = Record(
            f"i{index}", born_at, started_at, f"z{index % 3}", addresses=[(born_at, address)]
        )
        skew = self.dice.choice((0.0, 0.0, -1000.0, 1000.0))
        self.nodes.append(Node(index, record, disk, address, skew))
        return self.nodes[-1]

    @property
    def living(self) -> list[Node]:
        """The instances that are not dead for good."""
        return [node for node in self.nodes if node.alive]

    @property
    def running(self) -> Iterator[tuple[Node, Replica]]:
        """All etcds that run, those that are paused among them."""
        for node in self.nodes:
            if node.up and node.etcd and node.disk.replica is not None:
                yield node, node.disk.replica

    def note(self, node: Node, step: object) -> None:
        """Write a step to the journal, if there is one."""
        if self.journal is not None:
            evidence = getattr(step, "evidence", "")
            self.journal.append(f"{self.now:8.1f} s  {node.id}: {type(step).__name__}: {evidence}")

    def object(self, wrong: str) -> None:
        """An invariant is violated."""
        self.wrongs.append(wrong)


def _is(replica: Replica, member_id: int, cluster_id: str) -> bool:
    return (replica.member_id, replica.cluster_id) == (member_id, cluster_id)
