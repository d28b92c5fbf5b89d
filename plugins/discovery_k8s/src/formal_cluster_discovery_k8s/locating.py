"""Finds out, once, which pod this process is and where its peers are listed.

Settled once, because a pod keeps its identity and its labels' meaning while it runs.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState
from formal_cluster_discovery_k8s import pods
from formal_cluster_discovery_k8s.api import KubernetesApi
from formal_cluster_discovery_k8s.identity import (
    SET_POD_NAME,
    Surroundings,
    look_around,
    settle_namespace,
)
from formal_cluster_discovery_k8s.peers import Document, Family, Peer, family_of, preferred
from formal_cluster_discovery_k8s.permissions import PODS
from formal_cluster_discovery_k8s.settings import K8sSettings
from formal_cluster_discovery_k8s.source import Source, source_of


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process is.

    Attributes:
        me: Its instance; None if it is in no pod.
        node: The node it is on, if that is known.
        family: Which addresses to use; None if nothing tells.
    """

    me: Instance | None
    node: str | None
    family: Family | None
    source: Source


async def locate(
    settings: K8sSettings,
    api: KubernetesApi,
    instance_id: str | None,
    environment: Mapping[str, str],
) -> Place:
    """Where this process is.

    Args:
        instance_id: The id that is configured, if one is.
        environment: The process's environment variables.

    Raises:
        DiscoveryUnavailable: Kubernetes does not tell (yet).
        DiscoveryError: It never will; the message says what to set.
    """
    outside = settings.kubeconfig is not None
    around = look_around(
        environment, settings.service_account, socket.gethostname(), outside=outside
    )
    of_context = await api.namespace() if outside else None
    namespace = settle_namespace(settings.namespace, around.namespace, of_context)
    if around.name is None:
        return Place(None, None, settings.ip_family, source_of(settings, namespace, None))
    pod: Document | None = None
    if settings.service is None or around.uid is None or not around.addresses:
        pod = await _own_pod(api, namespace, around)
    source = source_of(settings, namespace, pod)
    if pod is not None and settings.label_selector is not None:
        await _check_selected(api, source, around.name)
    me = _me(settings, around, None if pod is None else pods.parse(pod))
    if instance_id not in {None, me.id}:
        raise DiscoveryError(
            f"instance.id is {instance_id!r}, but the others know this instance by its pod's UID, "
            f"{me.id!r}; remove instance.id"
        )
    node = None if pod is None else pods.parse(pod).node
    return Place(me, node, settings.ip_family or family_of(me.address), source)


async def _own_pod(api: KubernetesApi, namespace: str, around: Surroundings) -> Document:
    assert around.name is not None
    pod = await api.read(PODS, namespace, around.name)
    if pod is None:
        raise DiscoveryError(
            f"there is no pod {around.name} in namespace {namespace}. If this process's pod has "
            f"another name, {SET_POD_NAME}"
        )
    uid = pod["metadata"]["uid"]
    if around.uid not in {None, uid}:
        raise DiscoveryError(
            f"this pod, {around.name} with UID {around.uid}, was deleted by force and replaced by "
            f"one with UID {uid}; this process must not run any more"
        )
    return pod


async def _check_selected(api: KubernetesApi, source: Source, name: str) -> None:
    """An instance that the others do not see would form a cluster of its own."""
    only_me = replace(source.query, field_selector=f"metadata.name={name}")
    if not (await api.list_all(only_me)).items:
        raise DiscoveryError(
            f"this pod, {name}, does not have the labels of discovery.k8s.label_selector "
            f"({source.query.label_selector}); it has to be one of the instances"
        )


def _me(settings: K8sSettings, around: Surroundings, peer: Peer | None) -> Instance:
    known = around.addresses if peer is None else peer.addresses or around.addresses
    address = preferred(known, settings.ip_family)
    if address is None:
        raise DiscoveryUnavailable(
            f"pod {around.name} has no IP address yet; setting POD_IP in its environment (from "
            "status.podIP) tells it sooner"
        )
    if peer is None:
        assert around.uid is not None
        return Instance(around.uid, address, InstanceState.RUNNING)
    return Instance(
        peer.id,
        address,
        InstanceState.RUNNING,
        started_at=peer.started_at,
        zone=peer.zone,
        generation=peer.generation,
    )
