"""Instances with real supervised etcds, all in the test's process.

    fleet         makes instances that discover each other: `one, two = fleet(2)`;
                  `fleet(2, tls=True)` switches TLS on, FORMAL_CLUSTER_TEST_TLS=1 for all of them
    any_store     an instance, not started: with an embedded etcd, or one that is elsewhere
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
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from formal_cluster.errors import DiscoveryUnavailable, OutcomeUnknown, Unavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, InstanceState, Role, StoreState, StoreStatus, View
from formal_cluster.protocols import StateStore
from formal_cluster_store_etcd import plugin
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.urls import Endpoint

T = TypeVar("T")

EVERYTHING_BY_TLS = os.environ.get("FORMAL_CLUSTER_TEST_TLS") == "1"


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
            "data_dir": data_dir,
            "genesis_stable_s": 0.05,
            "heartbeat_ms": 100,
            "election_ms": 1_000,
            "stop_grace_s": 1.0,
            **settings,
        }
        self.store: StateStore | None = None

    @property
    def id(self) -> str:
        return self.instance.id

    async def start(self) -> None:
        assert self.store is None
        logger = logging.getLogger(f"test.{self.id}")
        context = StoreContext(self.instance, self.discovery, logger)
        self.store = plugin.create_store(EtcdSettings(**self.settings), context)
        await self.store.start()

    async def stop(self) -> None:
        if self.store is not None:
            store, self.store = self.store, None
            await store.stop()

    def lose_disk(self) -> None:
        assert self.store is None
        shutil.rmtree(self.data_dir)

    async def put(self, key: bytes, value: bytes, **options: float) -> int:
        """As `store.put`, until it is acknowledged: etcd may be slow, or elect a leader."""
        return await _answered(lambda: self.store.put(key, value, **options))

    async def delete(self, key: bytes) -> int | None:
        """As `store.delete`, until it is acknowledged."""
        return await _answered(lambda: self.store.delete(key))

    async def read(self, key: bytes) -> bytes | None:
        """The value as `store.get` gives it, when it does."""
        entry = await _answered(lambda: self.store.get(key))
        return None if entry is None else entry.value

    async def holds(self, revision: int) -> bool:
        """Whether its own etcd has that revision, whatever becomes of the others."""
        endpoint = Endpoint(self.instance.address, self.instance.client_port)
        try:
            return (await ClusterApi(self.tls).status(endpoint)).revision >= revision
        except Unavailable:
            return False

    async def keys(self, prefix: bytes) -> list[bytes]:
        """The keys as `store.list` gives them, when it does."""
        return [entry.key for entry in (await _answered(lambda: self.store.list(prefix))).entries]

    @property
    def tls(self) -> TlsMaterial | None:
        """What to connect to its etcd with."""
        if "tls" not in self.settings:
            return None
        files = self.settings["tls"]
        return TlsMaterial(*(files[name].read_bytes() for name in ("ca", "certificate", "key")))

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
async def fleet(tmp_path, request) -> AsyncGenerator[Fleet, None]:
    """`fleet(3, tls=False, **settings)`: three instances, not started; they discover each other."""
    made: list[RunningInstance] = []

    def make(size: int, *, tls: bool = EVERYTHING_BY_TLS, **settings) -> list[RunningInstance]:
        instances = [_instance(f"instance-{number}") for number in range(size)]
        view = View(tuple(instances))
        for instance in instances:
            discovery = ListedInstances(view)
            running = RunningInstance(instance, discovery, tmp_path / instance.id, **settings)
            if tls:
                authority = request.getfixturevalue("authority")
                into = tmp_path / f"{instance.id}-tls"
                issued = authority.issue(instance.id, instance.address, into=into)
                running.settings["tls"] = issued
            made.append(running)
        return made[-size:]

    try:
        yield make
    finally:
        await asyncio.gather(*(instance.stop() for instance in made))


@pytest.fixture(params=["embedded", "external", "external by TLS"])
def any_store(request, fleet) -> RunningInstance:
    (one,) = fleet(1)
    if request.param == "external":
        elsewhere = request.getfixturevalue("etcd_start")("elsewhere")
        one.settings = {"endpoints": [elsewhere.client_url]}
    if request.param == "external by TLS":
        elsewhere = request.getfixturevalue("etcd_make")("elsewhere", scheme="https")
        tls = request.getfixturevalue("authority").issue("elsewhere", elsewhere.endpoint.host)
        elsewhere.flags = (
            *("--cert-file", tls["certificate"], "--key-file", tls["key"]),
            *("--trusted-ca-file", tls["ca"], "--client-cert-auth"),
        )
        elsewhere.start()
        one.settings = {"endpoints": [elsewhere.client_url], "tls": tls}
    return one


@pytest.fixture
def start_all():
    """`await start_all(instances)`: start them at the same time."""

    async def start(instances: list[RunningInstance]) -> None:
        await asyncio.gather(*(instance.start() for instance in instances))

    return start


async def _answered(call: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)


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
