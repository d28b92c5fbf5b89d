"""What the author of a store driver writes: one `StoreDeclaration`, and the `Backing` it opens.

    class RedisBacking(Backing):
        def __init__(self, server: ProcessNode) -> None:
            super().__init__(nodes=[server])

        def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
            return RedisStore(RedisSettings(url=f"redis://{ways[0]}"))

    @asynccontextmanager
    async def open_redis(directory: Path) -> AsyncIterator[RedisBacking]:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--dir", str(directory)]
        node = ProcessNode("redis", command, Address("127.0.0.1", port), data=directory)
        async with node:
            await node.restart()
            await node.wait_listening()
            yield RedisBacking(node)

    DECLARATION = StoreDeclaration(
        name="redis", open=open_redis, faults={Fault.KILL, Fault.PARTITION}
    )

An entry point makes it known by the driver's name:

    [project.entry-points."formal_cluster.conformance.v1"]
    redis = "my_package.conformance:DECLARATION"

Everything else is the suite's: the faults themselves, the way from each instance to each node (a
TCP proxy that can be cut and slowed, if that is among the faults), load, checking and reports.
Which capabilities hold is not declared here but by the driver itself, in `StateStore.capabilities`:
the suite examines what core would rely on.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from formal_cluster.protocols import StateStore

ENTRY_POINTS = "formal_cluster.conformance.v1"
"""The entry-point group in which declarations are found by the driver's name."""


class Address(NamedTuple):
    """Where a node is reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Fault(enum.StrEnum):
    """What the suite may do to a backing system. A declaration names those that are possible."""

    KILL = "kill"
    """SIGKILL a node and start it again with its disk."""
    WIPE = "wipe"
    """SIGKILL a node and start it again with an empty disk. For systems of several nodes."""
    PAUSE = "pause"
    """SIGSTOP a node for a while: connections stay open and nothing answers."""
    PARTITION = "partition"
    """Cut the connections between one instance and one node, or all."""
    DELAY = "delay"
    """Slow down everything between one instance and one node, or all."""
    STOP_ALL = "stop-all"
    """Kill every node and start all of them again with their disks."""


class NotPossible(Exception):
    """The backing system offers no way to do this; the rules that need it are skipped, and said
    to be."""


class Node(Protocol):
    """One server of a backing system. `ProcessNode` is one that is a child process."""

    @property
    def name(self) -> str:
        """For reports."""
        ...

    @property
    def address(self) -> Address:
        """Where it is reached directly."""
        ...

    async def kill(self) -> None:
        """End it without warning; return when it is dead."""
        ...

    async def restart(self, *, wipe: bool = False) -> None:
        """Start it after `kill`, with its disk or an empty one; may return before it serves."""
        ...

    async def pause(self) -> None:
        """Let it do nothing any more, with its connections open; return when it does nothing."""
        ...

    async def resume(self) -> None:
        """Let it go on after `pause`."""
        ...


class Backing(ABC):
    """A running backing system.

    Attributes:
        nodes: Its servers, as far as the suite may lay hands on them. None if the system lives in
            the drivers themselves.
        through_proxies: Whether `create` connects to the ways it is given. False of a driver that
            finds its nodes in another way, as one does that runs its node itself.
    """

    through_proxies: ClassVar[bool] = True

    def __init__(self, nodes: Sequence[Node] = ()) -> None:
        self.nodes = tuple(nodes)

    @abstractmethod
    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """The driver of an instance, not started, built as core would build it.

        Called several times for one instance over time, never before the last one was stopped.

        Args:
            instance: 0 … `StoreDeclaration.instances` - 1.
            ways: Where this instance reaches each of the nodes, in their order.
        """

    async def settled(self) -> None:  # noqa: B027  most systems are so at once
        """Return when the system is as redundant as it gets, with all drivers started.

        Called before faults. By default it is so as soon as the drivers serve.
        """

    async def probe(self, key: bytes) -> bytes | None:
        """The key's value, None if there is none, read without the driver.

        Raises:
            NotPossible: There is no other way than the driver.
        """
        raise NotPossible(f"there is no probe for {key!r}")

    async def compact(self, revision: int) -> None:
        """Discard the history of changes before `revision`; the changes from it on may go, too.

        Raises:
            NotPossible: The system keeps all history, or decides by itself what to discard.
        """
        raise NotPossible(f"history before {revision} cannot be discarded")


@dataclass(frozen=True, kw_only=True)
class StoreDeclaration:
    """One store driver on one kind of backing system.

    Attributes:
        name: The driver's name, and the system's if there are several: `etcd`, `etcd-external-3`.
        open: Starts a fresh, empty system in an empty directory and ends it at the exit, whatever
            state the suite has left it in.
        faults: What the suite may do to it.
        instances: How many drivers may use it at once. 1 means that it is not shared.
        distribution: The distribution that has the driver; its version goes into the report.
        shortest_ttl_s: The shortest time to live that the system can keep, seconds. Shorter ones
            are rounded up to it.
        ttl_slack_s: How much later than its time to live a key may vanish, seconds.
        recovery_s: Within how many seconds of the end of a fault all instances serve again.
        largest_value: Number of bytes up to which values are stored.
    """

    name: str
    open: Callable[[Path], AbstractAsyncContextManager[Backing]]
    faults: Collection[Fault] = frozenset()
    instances: int = 3
    distribution: str | None = None
    shortest_ttl_s: float = 0.1
    ttl_slack_s: float = 2.0
    recovery_s: float = 20.0
    largest_value: int = 1 << 20

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise ValueError(f"instances is {self.instances}; at least one driver uses the system")
        object.__setattr__(self, "faults", frozenset(Fault(fault) for fault in self.faults))
