"""What an EndpointSlice of a headless Service means for instances. Pure.

    conditions of an endpoint   instance
    terminating                 unknown
    serving                     running
    neither                     starting: it may as well have become unready; nothing here tells

`ready` is of no use: with `publishNotReadyAddresses`, which a Service for forming a cluster needs,
it is true for every pod. A pod that failed, and one whose labels changed, simply leave the slice:
that a pod is not listed proves nothing.
"""

from __future__ import annotations

from formal_cluster.errors import DiscoveryError
from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s.peers import Document, Peer

SERVICE_LABEL = "kubernetes.io/service-name"


def parse(endpoint_slice: Document) -> tuple[Peer, ...]:
    """The peers in an EndpointSlice: of one address family, which is why a pod may be in two.

    Raises:
        DiscoveryError: An endpoint is no pod.
    """
    if endpoint_slice["addressType"] not in {"IPv4", "IPv6"}:
        return ()
    return tuple(
        _peer(endpoint, endpoint_slice) for endpoint in endpoint_slice.get("endpoints") or ()
    )


def _peer(endpoint: Document, endpoint_slice: Document) -> Peer:
    target = endpoint.get("targetRef") or {}
    if target.get("kind") != "Pod" or "uid" not in target:
        service = endpoint_slice["metadata"].get("labels", {}).get(SERVICE_LABEL)
        raise DiscoveryError(
            f"endpoint {endpoint['addresses'][0]} of Service {service} is no pod, so it has no "
            "identity; give the Service a selector, or use discovery driver dns"
        )
    return Peer(
        id=target["uid"],
        name=target["name"],
        state=_state(endpoint.get("conditions") or {}),
        addresses=(endpoint["addresses"][0],),
        node=endpoint.get("nodeName"),
        zone=endpoint.get("zone"),
    )


def _state(conditions: Document) -> InstanceState:
    if conditions.get("terminating"):
        return InstanceState.UNKNOWN
    serving = conditions.get("serving")
    if serving is None:
        # As the API defines it: without `serving` it is as `ready` says, and that defaults to true.
        serving = conditions.get("ready") is not False
    return InstanceState.RUNNING if serving else InstanceState.STARTING
