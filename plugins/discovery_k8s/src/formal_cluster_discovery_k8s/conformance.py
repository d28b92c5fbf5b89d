"""What the conformance suite has to know to try this driver; `pip install '…[conformance]'`."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.protocols import Discovery
from formal_cluster_conformance.discovery.declaration import (
    DiscoveryDeclaration,
    Feature,
    Platform,
)
from formal_cluster_conformance.k8s import ApiServer
from formal_cluster_discovery_k8s import plugin
from formal_cluster_discovery_k8s.settings import K8sSettings

_CONTEXT = DiscoveryContext(None, logging.getLogger(__name__))
_FOR_EVER = 1_000_000


class K8sPlatform(Platform):
    """The pods with one label. Only lists and watches fail, so that pods can come meanwhile."""

    label: ClassVar[tuple[str, str]] = ("app", "connector")

    def __init__(self, server: ApiServer, world: Any, directory: Path) -> None:
        self._server = server
        self._world = world
        self._kubeconfig = server.write_kubeconfig(
            directory / "kubeconfig", namespace=world.namespace
        )
        self._pods: dict[str, Any] = {}

    def create(self, instance: str) -> Discovery:
        """See `Platform`. A pod is told who it is by its environment."""
        metadata = self._pods[instance]["metadata"]
        for variable in ("name", "namespace", "uid"):
            os.environ[f"POD_{variable.upper()}"] = metadata[variable]
        settings = K8sSettings(kubeconfig=self._kubeconfig, label_selector="=".join(self.label))
        return plugin.create_discovery(settings, _CONTEXT)

    async def add(self) -> str:
        """See `Platform`."""
        number = len(self._pods) + 1
        pod = await self._world.running_pod(
            f"connector-{number}",
            f"127.0.{number // 250}.{number % 250 + 1}",
            labels=dict([self.label]),
        )
        self._pods[pod["metadata"]["uid"]] = pod
        return str(pod["metadata"]["uid"])

    async def stop(self, instance: str) -> None:
        """See `Platform`."""
        await self._world.finish(self._pods[instance])

    async def lose(self, instance: str) -> None:
        """See `Platform`."""
        await self._world.vanish(self._pods[instance])

    async def fail(self) -> None:
        """See `Platform`."""
        for verb in ("list", "watch"):
            self._server.faults.refuse(503, verb=verb, times=_FOR_EVER)
        for watch in list(self._server.watches):
            watch.drop()

    async def heal(self) -> None:
        """See `Platform`."""
        self._server.faults.clear()


@asynccontextmanager
async def _open(directory: Path) -> AsyncIterator[Platform]:
    server = ApiServer(directory, bookmark_s=0.05)
    with patch.dict(os.environ):
        async with server, server.world("connector") as world:
            yield K8sPlatform(server, world, directory)
            server.faults.clear()


DECLARATION = DiscoveryDeclaration(
    name="k8s",
    open=_open,
    features=list(Feature),
    distribution="formal-cluster-discovery-k8s",
)
