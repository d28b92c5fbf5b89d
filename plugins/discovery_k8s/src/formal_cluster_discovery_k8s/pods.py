"""What a Pod object means for an instance. Pure.

    phase                       instance
    Pending                     starting
    Running                     running, ready or not: the cluster forms before anyone is ready
    Succeeded, Failed           stopped, unless a container is still said to run (see below)
    any of the first two, and   unknown: being deleted; nobody vouches yet that its containers
    `deletionTimestamp` set     have ended, and on a lost node they may go on for good
    anything else               unknown

The node's agent sets a final phase only when all containers have ended. Other parts of Kubernetes
set it too, without knowing: a pod whose node object was deleted is declared Failed by the garbage
collector. Its container statuses stay as the node last reported them, which tells the two apart.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s.peers import DEFAULT_GRACE_S, Document, Peer

ZONE_LABEL = "topology.kubernetes.io/zone"
"""On nodes, and from Kubernetes 1.35 on the pods bound to them too."""

_GENERATION_LABELS = (
    "pod-template-hash",
    "controller-revision-hash",
    "rollouts-pod-template-hash",
)
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def parse(pod: Document) -> Peer:
    """A peer from a Pod object."""
    metadata, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    labels = metadata.get("labels") or {}
    grace = spec.get("terminationGracePeriodSeconds")
    return Peer(
        id=metadata["uid"],
        name=metadata["name"],
        state=state_of(pod),
        addresses=tuple(_addresses(status)),
        node=spec.get("nodeName") or None,
        started_at=_seconds(metadata.get("creationTimestamp")),
        zone=labels.get(ZONE_LABEL),
        generation=next((labels[key] for key in _GENERATION_LABELS if key in labels), None),
        grace_s=DEFAULT_GRACE_S if grace is None else float(grace),
    )


def state_of(pod: Document) -> InstanceState:
    """What the platform says of the pod; see the module's table."""
    status = pod.get("status", {})
    phase = status.get("phase")
    if phase in {"Succeeded", "Failed"}:
        return InstanceState.UNKNOWN if _any_container_runs(status) else InstanceState.STOPPED
    if pod["metadata"].get("deletionTimestamp") is not None:
        return InstanceState.UNKNOWN
    if phase == "Pending":
        return InstanceState.STARTING
    return InstanceState.RUNNING if phase == "Running" else InstanceState.UNKNOWN


def _any_container_runs(status: Document) -> bool:
    return any(
        (container.get("state") or {}).get("running") is not None
        for key in _STATUSES
        for container in status.get(key) or ()
    )


def _addresses(status: Document) -> Iterator[str]:
    addresses = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    yield from addresses or filter(None, [status.get("podIP")])


def _seconds(timestamp: str | None) -> float | None:
    return None if timestamp is None else datetime.datetime.fromisoformat(timestamp).timestamp()
