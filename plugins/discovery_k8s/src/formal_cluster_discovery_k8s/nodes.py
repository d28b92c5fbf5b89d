"""What a Node object says. Pure."""

from __future__ import annotations

from typing import NamedTuple

from formal_cluster_discovery_k8s.peers import Document
from formal_cluster_discovery_k8s.pods import ZONE_LABEL


class Readiness(NamedTuple):
    """A stretch of time for which a node has been Ready. Two equal ones are the same stretch.

    Attributes:
        uid: The node's UID: another machine may come under the same name.
        since: When it became Ready, by the control plane's clock. Only ever compared with itself.
    """

    uid: str
    since: str


def readiness_of(node: Document) -> Readiness | None:
    """Since when the node is Ready; None while it is not, or if nothing tells since when."""
    for condition in node.get("status", {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            since = condition.get("lastTransitionTime")
            return Readiness(node["metadata"]["uid"], since) if since else None
    return None


def zone_of(node: Document) -> str | None:
    """The node's availability zone."""
    labels: Document = node["metadata"].get("labels") or {}
    return labels.get(ZONE_LABEL)
