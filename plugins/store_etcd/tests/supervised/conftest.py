"""Instances with real supervised etcds, all in the test's process.

    fleet         makes instances that discover each other: `one, two = fleet(2)`
    etcd_logs     the decisions and warnings logged so far, for failing tests

Each instance has a random loopback address and free ports of its own. Whatever happens, all are
stopped when the test ends; if the test run is killed, the kernel kills the etcds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, InstanceState, Role, StoreState, StoreStatus, View
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.store import EtcdStore


class ListedInstances:
    """Discovery by a list; fails while `available` is False."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.available = True

    def declare(self, instance_id: str, state: InstanceState) -> None:
        """What discovery says of an instance from now on."""
        self.view = View(
            tuple(
                replace(instance, state=state) if instance.id == instance_id else instance
                for instance in self.view.instances
            ),
            self.view.complete,
        )

    async def discover(self) -> View:
        if not self.available:
            raise DiscoveryUnavailable("the test made it fail")
        return self.view

    async def identify(self) -> Instance:
        return self.view.instances[0]

    async def watch(self) -> AsyncGenerator[View, None]:
        yield self.view

    async def aclose(self) -> None:
        """Nothing is held."""


class RunningInstance:
    """One instance: its store, its disk, its place in discovery."""

    def __init__(
        self, instance: Instance, discovery: ListedInstances, data_dir: Path, **settings
    ) -> None:
        self.instance = instance
        self.discovery = discovery
        self.data_dir = data_dir
        self.settings = {
            "genesis_stable_s": 0.05,
            "heartbeat_ms": 50,
            "election_ms": 500,
            "stop_grace_s": 1.0,
            **settings,
        }
        self.store: EtcdStore | None = None

    @property
    def id(self) -> str:
        return self.instance.id

    async def start(self) -> None:
        assert self.store is None
        settings = EtcdSettings(data_dir=self.data_dir, **self.settings)
        logger = logging.getLogger(f"test.{self.id}")
        self.store = EtcdStore(settings, StoreContext(self.instance, self.discovery, logger))
        await self.store.start()

    async def stop(self) -> None:
        if self.store is not None:
            store, self.store = self.store, None
            await store.stop()

    def lose_disk(self) -> None:
        assert self.store is None
        shutil.rmtree(self.data_dir)

    @property
    def status(self) -> StoreStatus:
        assert self.store is not None
        return self.store.status()

    @property
    def serves(self) -> bool:
        return self.status.state is StoreState.SERVING

    @property
    def error(self) -> str:
        return self.status.last_error or ""

    @property
    def etcd_pid(self) -> int | None:
        assert self.store is not None
        return self.store._supervisor.runner.pid

    def kill_etcd(self) -> None:
        pid = self.etcd_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def members(self, role: Role) -> set[str]:
        """Ids of the healthy members in that role, as this instance sees them."""
        return {m.id for m in self.status.members if m.role is role and m.healthy}


Fleet = Callable[..., list[RunningInstance]]


@pytest.fixture
async def fleet(tmp_path) -> AsyncGenerator[Fleet, None]:
    """`fleet(3, **settings)`: three instances, not started; they discover each other."""
    made: list[RunningInstance] = []

    def make(size: int, **settings) -> list[RunningInstance]:
        instances = [_instance(f"instance-{number}") for number in range(size)]
        view = View(tuple(instances))
        for instance in instances:
            discovery = ListedInstances(view)
            made.append(RunningInstance(instance, discovery, tmp_path / instance.id, **settings))
        return made[-size:]

    try:
        yield make
    finally:
        await asyncio.gather(*(instance.stop() for instance in made))


@pytest.fixture
def start_all():
    """`await start_all(instances)`: start them at the same time."""

    async def start(instances: list[RunningInstance]) -> None:
        await asyncio.gather(*(instance.start() for instance in instances))

    return start


def _instance(name: str) -> Instance:
    host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with socket.socket() as client, socket.socket() as peer:
        client.bind((host, 0))
        peer.bind((host, 0))
        return Instance(
            id=name,
            address=host,
            client_port=client.getsockname()[1],
            peer_port=peer.getsockname()[1],
        )
