"""Objects of the API as JSON, with as little in them as a real server accepts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from formal_cluster_conformance.k8s.resources import SLICES

Json: TypeAlias = dict[str, Any]

SERVICE_ACCOUNT = "instance"
"""The service account of all pods made here."""


def named(kind: str, name: str, api_version: str = "v1", **rest: Any) -> Json:
    """An object with nothing but its name, and what is given."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


def pod(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    node: str | None = None,
    owner: tuple[str, str] | None = None,
    grace_s: int = 30,
) -> Json:
    """A pod.

    Args:
        node: The node that it is bound to. Without one it waits for a scheduler that there is not.
        owner: Kind and name of the controller that made it.
    """
    document = named(
        "Pod",
        name,
        spec={
            "containers": [{"name": "connector", "image": "registry.invalid/connector"}],
            "schedulerName": "none",
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": grace_s,
        },
    )
    document["metadata"]["labels"] = dict(labels or {})
    if node is not None:
        document["spec"]["nodeName"] = node
    if owner is not None:
        kind, owner_name = owner
        document["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "apps/v1",
                "kind": kind,
                "name": owner_name,
                "uid": f"{kind}-{owner_name}".lower(),
                "controller": True,
            }
        ]
    return document


def running(addresses: Sequence[str], *, ready: bool, started: str) -> Json:
    """The status of a pod whose container runs."""
    state = {"running": {"startedAt": started}}
    return {
        "phase": "Running",
        "startTime": started,
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [_container(state, ready=ready)],
    }


def terminated(status: Mapping[str, Any], phase: str, finished: str) -> Json:
    """What a node reports when all containers of a pod have ended."""
    code = 0 if phase == "Succeeded" else 137
    state = {"terminated": {"exitCode": code, "finishedAt": finished}}
    return {**status, "phase": phase, "containerStatuses": [_container(state, ready=False)]}


def _container(state: Json, *, ready: bool) -> Json:
    return {
        "name": "connector",
        "image": "registry.invalid/connector",
        "imageID": "",
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }


def node_status(*, ready: bool, since: str) -> Json:
    """The status of a node."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "lastTransitionTime": since,
        "lastHeartbeatTime": since,
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "",
    }
    return {"conditions": [condition]}


def endpoint(
    of: Mapping[str, Any],
    address: str,
    *,
    serving: bool,
    terminating: bool = False,
    zone: str | None = None,
) -> Json:
    """A pod in an EndpointSlice of a Service with publishNotReadyAddresses: always `ready`."""
    metadata = of["metadata"]
    document: Json = {
        "addresses": [address],
        "conditions": {"ready": True, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
    if of["spec"].get("nodeName"):
        document["nodeName"] = of["spec"]["nodeName"]
    if zone is not None:
        document["zone"] = zone
    return document


def endpoint_slice(
    name: str, service: str, endpoints: Sequence[Json], *, address_type: str = "IPv4"
) -> Json:
    """An EndpointSlice that no controller looks after."""
    document = named("EndpointSlice", name, SLICES.api_version, addressType=address_type)
    document["metadata"]["labels"] = {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": "formal-cluster-tests",
    }
    document["endpoints"] = list(endpoints)
    document["ports"] = []
    return document
