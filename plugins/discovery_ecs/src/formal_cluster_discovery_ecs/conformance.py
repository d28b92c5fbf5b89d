"""What the conformance suite has to know to try this driver; `pip install '…[conformance]'`."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

from formal_cluster.protocols import Discovery
from formal_cluster_conformance.discovery.declaration import (
    DiscoveryDeclaration,
    Feature,
    Platform,
)
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer
from formal_cluster_discovery_ecs.ecs import EcsDiscovery
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings

_LOGGER = logging.getLogger(__name__)
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


class EcsPlatform(Platform):
    """The tasks of one service."""

    def __init__(self, world: EcsWorld, ecs: EcsServer, metadata: TaskMetadataServer) -> None:
        self._world = world
        self._ecs = ecs
        self._metadata = metadata
        self._count = 0

    def create(self, instance: str) -> Discovery:
        """See `Platform`."""
        settings = EcsSettings(
            endpoint_url=self._ecs.url, interval=0.02, confirm_stopped=0.0, timeout=20.0
        )
        endpoint = MetadataEndpoint(self._metadata.uri(self._world.tasks[instance]))
        return EcsDiscovery(settings, endpoint, None, _LOGGER)

    async def add(self) -> str:
        """See `Platform`."""
        self._count += 1
        address = f"127.0.{self._count // 250}.{self._count % 250 + 1}"
        return self._world.run(address, service="connector").arn

    async def stop(self, instance: str) -> None:
        """See `Platform`."""
        self._world.stop(self._world.tasks[instance])

    async def lose(self, instance: str) -> None:
        """See `Platform`."""
        self._world.forget(self._world.tasks[instance])

    async def fail(self) -> None:
        """See `Platform`."""
        self._ecs.refuse("ClientException", "away")

    async def heal(self) -> None:
        """See `Platform`."""
        self._ecs.heal()


@asynccontextmanager
async def _open(directory: Path) -> AsyncIterator[Platform]:  # noqa: ARG001  nothing on disk
    world = EcsWorld()
    with patch.dict(os.environ, _CREDENTIALS):
        async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
            yield EcsPlatform(world, ecs, metadata)


DECLARATION = DiscoveryDeclaration(
    name="ecs",
    open=_open,
    features=list(Feature),
    distribution="formal-cluster-discovery-ecs",
    looks_for_proof=2,
)
