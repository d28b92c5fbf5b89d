"""Where the peers come from: the pods of a workload, those with some labels, or a Service. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from formal_cluster.errors import DiscoveryError
from formal_cluster_discovery_k8s import pods, slices
from formal_cluster_discovery_k8s.peers import Document, Peer
from formal_cluster_discovery_k8s.permissions import PODS, PODS_OF_SERVICE, SLICES, Permission
from formal_cluster_discovery_k8s.query import Query
from formal_cluster_discovery_k8s.settings import K8sSettings
from formal_cluster_discovery_k8s.workload import workload_of


@dataclass(frozen=True, slots=True)
class Source:
    """What to list and watch.

    Attributes:
        parse: The peers in each object.
        pod_permission: What single pods are read with.
    """

    query: Query
    parse: Callable[[Document], Iterable[Peer]]
    pod_permission: Permission = PODS


def source_of(settings: K8sSettings, namespace: str, own_pod: Document | None) -> Source:
    """Where the settings say that the peers are.

    Args:
        own_pod: This process's pod; None if it is in none, or if it was not needed.

    Raises:
        DiscoveryError: They leave it to the pod, and that does not tell.
    """
    if settings.service is not None:
        selector = f"{slices.SERVICE_LABEL}={settings.service}"
        return Source(Query(SLICES, namespace, selector), slices.parse, PODS_OF_SERVICE)
    if settings.label_selector is not None:
        query = Query(PODS, namespace, settings.label_selector)
        return Source(query, lambda pod: (pods.parse(pod),))
    if own_pod is None:
        raise DiscoveryError(
            "which pods are the instances? This process is in none of them; set "
            "discovery.k8s.label_selector or discovery.k8s.service"
        )
    workload = workload_of(own_pod)
    if workload is None:
        raise DiscoveryError(
            f"pod {own_pod['metadata']['name']} belongs to no Deployment or StatefulSet that "
            "would tell which pods are the instances; set discovery.k8s.label_selector"
        )
    return Source(
        Query(PODS, namespace),
        lambda pod: (pods.parse(pod),) if workload_of(pod) == workload else (),
    )
