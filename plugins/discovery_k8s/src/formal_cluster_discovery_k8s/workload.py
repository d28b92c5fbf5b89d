"""Which pods belong together: those of one Deployment, StatefulSet, … Pure.

Told from the pods alone, so that no permission to read controllers is needed. Labels would not do:
which of a pod's labels its controller selects by is not in the pod, and by the others (a version,
a chart) the old and the new pods of a rolling update would not find each other and form two
clusters.
"""

from __future__ import annotations

from typing import NamedTuple

from formal_cluster_discovery_k8s.peers import Document

_TEMPLATE_HASHES = ("pod-template-hash", "rollouts-pod-template-hash")


class Workload(NamedTuple):
    """A controller that outlives the replacement of its pods."""

    kind: str
    name: str


def workload_of(pod: Document) -> Workload | None:
    """The pod's controller; None if it has none.

    A Deployment makes a ReplicaSet for each revision, named after itself and the hash that it
    labels the pods with. So without that suffix the name is the Deployment's.
    """
    metadata = pod["metadata"]
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            kind, name = owner["kind"], owner["name"]
            labels = metadata.get("labels") or {}
            for label in _TEMPLATE_HASHES:
                suffix = f"-{labels.get(label)}"
                if kind == "ReplicaSet" and label in labels and name.endswith(suffix):
                    return Workload("Deployment", name.removesuffix(suffix))
            return Workload(kind, name)
    return None
