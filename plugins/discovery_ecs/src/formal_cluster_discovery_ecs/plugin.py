"""Registers discovery driver `ecs`. Importing this does not import the AWS SDK."""

from __future__ import annotations

import os

from formal_cluster.hookspecs import DiscoveryContext, DriverSettings, hookimpl
from formal_cluster.protocols import Discovery
from formal_cluster_discovery_ecs.ecs import EcsDiscovery
from formal_cluster_discovery_ecs.metadata_endpoint import VARIABLE, MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings


@hookimpl
def discovery_settings() -> type[DriverSettings]:
    """The settings class of `[discovery.ecs]`."""
    return EcsSettings


@hookimpl
def create_discovery(settings: EcsSettings, context: DiscoveryContext) -> Discovery:
    """Build the driver."""
    endpoint = MetadataEndpoint(os.environ.get(VARIABLE))
    return EcsDiscovery(settings, endpoint, context.instance_id, context.logger)
