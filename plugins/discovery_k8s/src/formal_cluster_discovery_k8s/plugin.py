"""Discovery driver `k8s`: what core finds. The SDK is imported when the driver is first used."""

from __future__ import annotations

from formal_cluster.hookspecs import DiscoveryContext, hookimpl
from formal_cluster.protocols import Discovery
from formal_cluster_discovery_k8s.driver import K8sDiscovery
from formal_cluster_discovery_k8s.settings import K8sSettings


@hookimpl
def discovery_settings() -> type[K8sSettings]:
    """The class of `[discovery.k8s]`."""
    return K8sSettings


@hookimpl
def create_discovery(settings: K8sSettings, context: DiscoveryContext) -> Discovery:
    """Build the driver."""
    return K8sDiscovery(settings, context.instance_id, context.logger)
