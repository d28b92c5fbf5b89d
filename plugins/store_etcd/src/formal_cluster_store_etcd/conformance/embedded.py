"""Declarations: the driver with its own, supervised etcds; one instance alone, and three.

Nodes are the etcds of the drivers, so they are there when the drivers are. After a kill it is the
supervisor that starts them again: that is a part of what is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Final

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, InstanceState, Role, StoreStatus, View
from formal_cluster.protocols import StateStore
from formal_cluster_conformance import (
    Address,
    Backing,
    Fault,
    NodeFailed,
    StoreDeclaration,
    free_ports,
)
from formal_cluster_store_etcd.conformance import gateway
from formal_cluster_store_etcd.conformance.listed import Listed
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.store import EtcdStore

_HOST: Final = "127.0.0.1"
_LOGGER: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.02
_SETTLED_S: Final = 60.0
_STARTED_S: Final = 20.0


class _Store(EtcdStore):
    @property
    def pid(self) -> int | None:
        """Of its etcd."""
        return None if self._supervisor is None else self._supervisor.runner.pid


class EmbeddedNode:
    """The etcd of one driver; see `formal_cluster_conformance.Node`."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self.store: _Store | None = None

    async def kill(self) -> None:
        """SIGKILL; the supervisor will start another one."""
        pid = await self._pid()
        os.kill(pid, signal.SIGKILL)
        await _until(lambda: self.store is None or self.store.pid != pid, _STARTED_S)

    async def restart(self, *, wipe: bool = False) -> None:
        """The supervisor does it.

        Raises:
            NodeFailed: It is to lose its disk.
        """
        if wipe:
            raise NodeFailed("an instance's disk cannot be taken from under its supervisor")

    async def pause(self) -> None:
        """SIGSTOP."""
        os.kill(await self._pid(), signal.SIGSTOP)

    async def resume(self) -> None:
        """SIGCONT."""
        os.kill(await self._pid(), signal.SIGCONT)

    async def _pid(self) -> int:
        await _until(lambda: self.store is not None and self.store.pid, _STARTED_S)
        pid = None if self.store is None else self.store.pid
        if pid is None:
            raise NodeFailed(f"{self.name} runs no etcd")
        return pid


class EmbeddedEtcd(Backing):
    """Instances that discover each other by a list."""

    through_proxies: ClassVar[bool] = False

    def __init__(self, directory: Path, instances: int) -> None:
        self._directory = directory
        ports = free_ports(2 * instances, _HOST)
        self._instances = [
            Instance(
                id=f"instance-{at}",
                address=_HOST,
                state=InstanceState.RUNNING,
                client_port=ports[at],
                peer_port=ports[instances + at],
            )
            for at in range(instances)
        ]
        self._nodes = [
            EmbeddedNode(instance.id, Address(_HOST, ports[at]))
            for at, instance in enumerate(self._instances)
        ]
        super().__init__(self._nodes)

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:  # noqa: ARG002  its own
        """See `Backing.create`."""
        me = self._instances[instance]
        settings = EtcdSettings(
            data_dir=self._directory / me.id,
            genesis_stable_s=0.05,
            # What a driver that is stopped holds is expected back.
            leave_on_stop=False,
            stop_grace_s=2.0,
        )
        context = StoreContext(me, Listed(me, View(tuple(self._instances))), _LOGGER)
        node = self._nodes[instance]

        class Started(_Store):
            async def start(self) -> None:
                node.store = self
                await super().start()

        return Started(settings, context)

    async def settled(self) -> None:
        """As many voters as there are instances, all healthy.

        Raises:
            NodeFailed: They have not become so.
        """
        await _until(lambda: all(map(self._is_complete, self._statuses())), _SETTLED_S)
        if not all(map(self._is_complete, self._statuses())):
            raise NodeFailed(f"the members have not become complete: {self._statuses()}")

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        return await gateway.value([node.address for node in self._nodes], key)

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`."""
        await gateway.compact([node.address for node in self._nodes], revision)

    def _statuses(self) -> list[StoreStatus]:
        return [node.store.status() for node in self._nodes if node.store is not None]

    def _is_complete(self, status: StoreStatus) -> bool:
        healthy = [m for m in status.members if m.role is Role.VOTER and m.healthy]
        return len(healthy) == len(self._instances)


async def _until(condition: Callable[[], object], within_s: float) -> None:
    """Wait until it is so, or the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110  nobody tells when a process has come or gone
                await asyncio.sleep(_POLL_S)


def _declare(name: str, instances: int) -> StoreDeclaration:
    @contextlib.asynccontextmanager
    async def _open(directory: Path) -> AsyncIterator[Backing]:
        yield EmbeddedEtcd(directory, instances)

    def opened(directory: Path) -> AbstractAsyncContextManager[Backing]:
        return _open(directory)

    return StoreDeclaration(
        name=name,
        open=opened,
        faults=[Fault.KILL, Fault.PAUSE, Fault.STOP_ALL],
        instances=instances,
        distribution="formal-cluster-store-etcd",
        shortest_ttl_s=2.0,
        ttl_slack_s=3.0,
        recovery_s=30.0,
    )


ONE = _declare("etcd-1", 1)
THREE = _declare("etcd", 3)
