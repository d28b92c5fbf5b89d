"""The permissions that this driver uses, all of them, and the Role that grants one. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """One rule of a Role.

    Attributes:
        group: API group, empty for the core group.
        loss: What it costs to do without, if that is possible at all.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    cluster_wide: bool = False
    loss: str | None = None


PODS = Permission("", "pods", ("get", "list", "watch"))
SLICES = Permission("discovery.k8s.io", "endpointslices", ("list", "watch"))
PODS_OF_SERVICE = Permission(
    "", "pods", ("get",), loss="a pod that has left the Service is never known to be dead"
)
"""What reading EndpointSlices leaves open."""
NODES = Permission(
    "",
    "nodes",
    ("get",),
    cluster_wide=True,
    loss="a pod that vanishes without a final phase is never known to be dead, and zones are "
    "unknown before Kubernetes 1.35",
)


def manifest(permission: Permission, namespace: str | None) -> str:
    """The Role (or ClusterRole) that grants exactly `permission`, as YAML."""
    role = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {'ClusterRole' if permission.cluster_wide else 'Role'}",
        "metadata:",
        "  name: formal-cluster",
    ]
    if not permission.cluster_wide:
        role.append(f"  namespace: {namespace}")
    return "\n".join(
        [
            *role,
            "rules:",
            f'  - apiGroups: ["{permission.group}"]',
            f"    resources: [{permission.resource}]",
            f"    verbs: [{', '.join(permission.verbs)}]",
        ]
    )
