"""A place to run the driver in: our API server, or a real one.

With FORMAL_CLUSTER_TEST_KUBECONFIG the tests that use `place` run against the API server that it
names, with permissions to do everything; they make a namespace of their own and remove it. The
tests that use `server` are about faults, which nobody can inject into a real server: they always
run against ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.model import View
from formal_cluster_conformance.k8s import ApiServer, World, credentials
from formal_cluster_conformance.k8s.watching import Watch
from formal_cluster_discovery_k8s.driver import K8sDiscovery
from formal_cluster_discovery_k8s.plugin import create_discovery
from formal_cluster_discovery_k8s.settings import K8sSettings

REAL = os.environ.get("FORMAL_CLUSTER_TEST_KUBECONFIG")
DOCUMENT = Path(__file__).parents[3] / "docs" / "run-on-kubernetes.md"
DEADLINE_S = 50.0
LABELS = {"app": "connector"}
SELECTOR = "app=connector"


@dataclass
class Place:
    """A namespace on an API server, and what a driver needs to use it.

    Attributes:
        server: Our server; None on a real one.
    """

    world: World
    directory: Path
    ca_file: Path | None
    server: ApiServer | None

    @property
    def namespace(self) -> str:
        return self.world.namespace

    async def kubeconfig(self, *roles: str) -> Path:
        """Credentials of a service account that has exactly these roles of the documentation."""
        await self._grant(roles)
        return credentials.write_kubeconfig(
            self.directory / "kubeconfig",
            url=self.world.url,
            token=await self.world.token(),
            ca_file=self.ca_file,
            namespace=self.namespace,
        )

    async def service_account(self, *roles: str) -> Path:
        """The same, as it is mounted into a pod."""
        if self.ca_file is None:
            pytest.skip("needs HTTPS with a known authority: a pod's service account has no other")
        await self._grant(roles)
        return credentials.write_service_account(
            self.directory / "serviceaccount",
            token=await self.world.token(),
            ca_file=self.ca_file,
            namespace=self.namespace,
        )

    async def _grant(self, roles: Sequence[str]) -> None:
        for role in roles:
            await self.world.grant(manifest(role))
            await self._in_force(manifest(role))

    async def _in_force(self, role: dict[str, Any]) -> None:
        """Until the role has an effect: a real server takes a moment."""
        [rule] = role["rules"]
        async with asyncio.timeout(DEADLINE_S):
            for verb in rule["verbs"]:
                while not await self.world.may(
                    verb,
                    group=rule["apiGroups"][0],
                    resource=rule["resources"][0],
                    everywhere=role["kind"] == "ClusterRole",
                ):
                    await asyncio.sleep(0.05)


def manifest(name: str) -> dict[str, Any]:
    """The Role or ClusterRole of this name in the documentation, for any namespace."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    [role] = [
        document
        for block in blocks
        for document in yaml.safe_load_all(block)
        if document.get("kind") in {"Role", "ClusterRole"} and document["metadata"]["name"] == name
    ]
    role["metadata"].pop("namespace", None)
    return role


@pytest.fixture
def documented_role() -> Callable[[str], dict[str, Any]]:
    return manifest


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """Our API server, also when the others run against a real one."""
    async with ApiServer(tmp_path, bookmark_s=0.05) as server:
        yield server


@pytest.fixture
async def our_place(server: ApiServer, tmp_path: Path) -> AsyncIterator[Place]:
    """A namespace on our server."""
    async with server.world(_new_namespace()) as world:
        yield Place(world, tmp_path, server.ca_file, server)
        server.faults.clear()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A namespace on our server, or on the real one that the environment names."""
    if REAL is None:
        ours = ApiServer(tmp_path, bookmark_s=0.05)
        async with ours as server, server.world(_new_namespace()) as world:
            yield Place(world, tmp_path, server.ca_file, server)
        return
    url, headers, context, ca_file = await asyncio.to_thread(_real_server, REAL)
    async with World(url, _new_namespace(), headers=headers, ssl_context=context) as world:
        yield Place(world, tmp_path, ca_file, None)


def _new_namespace() -> str:
    return f"formal-cluster-test-{secrets.token_hex(4)}"


def _real_server(kubeconfig: str) -> tuple[str, dict[str, str], ssl.SSLContext, Path | None]:
    """How to connect to a real server, with whatever credentials the official client can read."""
    from kubernetes.client import Configuration
    from kubernetes.config import load_kube_config

    configuration = Configuration()
    load_kube_config(kubeconfig, client_configuration=configuration)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    keys = configuration.api_key
    token = keys.get("BearerToken") or keys.get("authorization")
    headers = {"Authorization": token} if token else {}
    ca_file = configuration.ssl_ca_cert
    return configuration.host, headers, context, Path(ca_file) if ca_file else None


@pytest.fixture
async def drive(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., K8sDiscovery]]:
    """Makes drivers, and closes them in the end.

    driver = drive(kubeconfig=..., label_selector=...)          # outside of any pod
    driver = drive(pod=pod, kubeconfig=..., ...)                # in that pod
    """
    async with AsyncExitStack() as stack:

        def make(
            pod: dict[str, Any] | None = None,
            instance_id: str | None = None,
            environment: dict[str, str] | None = None,
            **settings: Any,
        ) -> K8sDiscovery:
            for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IP", "POD_IPS"):
                monkeypatch.delenv(name, raising=False)
            if pod is not None:
                metadata = pod["metadata"]
                monkeypatch.setenv("POD_NAME", metadata["name"])
                monkeypatch.setenv("POD_NAMESPACE", metadata["namespace"])
                monkeypatch.setenv("POD_UID", metadata["uid"])
            for name, value in (environment or {}).items():
                monkeypatch.setenv(name, value)
            driver = create_discovery(
                K8sSettings(**settings), DiscoveryContext(instance_id, logging.getLogger("k8s"))
            )
            stack.push_async_callback(driver.aclose)
            return driver

        yield make


class Views:
    """Reads a watch until it shows what is expected."""

    def __init__(self, views: AsyncGenerator[View, None]) -> None:
        self._views = views
        self.last: View | None = None

    async def next(self) -> View:
        async with asyncio.timeout(DEADLINE_S):
            self.last = await anext(self._views)
        return self.last

    async def until(self, states: dict[str, str]) -> View:
        """The first view in which exactly these instances, by address, have these states."""
        try:
            while self.last is None or states != seen(self.last):
                await self.next()
        except TimeoutError:
            assert states == (self.last and seen(self.last)), "not seen in time"
        assert self.last is not None
        return self.last


def seen(view: View) -> dict[str, str]:
    return {instance.address: instance.state.value for instance in view.instances}


@pytest.fixture
def states() -> Callable[[View], dict[str, str]]:
    """A view as states by address."""
    return seen


@pytest.fixture
def watch_under_way() -> Callable[[ApiServer], Awaitable[Watch]]:
    """Waits until a watch has begun on our server."""

    async def wait(server: ApiServer) -> Watch:
        async with asyncio.timeout(DEADLINE_S):
            while not server.watches:
                await asyncio.sleep(0.005)
        return server.watches[-1]

    return wait


@pytest.fixture
def looks() -> Callable[[K8sDiscovery, int], Awaitable[None]]:
    """Waits until a driver has looked so many times at the pods that vanished."""

    async def wait(driver: K8sDiscovery, times: int) -> None:
        picture = driver._picture
        assert picture is not None
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(times):
                before = picture.cache.next_look()
                while picture.cache.next_look() == before:
                    await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def watching() -> Callable[[K8sDiscovery], Any]:
    """An async context manager: the views of a driver's watch."""

    @asynccontextmanager
    async def watch(driver: K8sDiscovery) -> AsyncIterator[Views]:
        async with aclosing(driver.watch()) as views:
            yield Views(views)

    return watch
