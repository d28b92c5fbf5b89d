"""The kinds of objects that the API server knows, and the paths that lead to them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
"""One object of the API, as its JSON says it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of objects."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = False
    fields: frozenset[str] = frozenset()
    """Field selectors beyond metadata.name and metadata.namespace."""

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """The beginning of its paths."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """The path of its objects, of one of them, or of a part of one."""
        parts = [self.prefix, *(["namespaces", namespace] if self.namespaced else []), self.plural]
        return "/".join(filter(None, [*parts, name, sub]))


_POD_FIELDS = frozenset(
    {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"}
)
_SUBRESOURCES = {"status", "token"}
_RBAC = "rbac.authorization.k8s.io"

PODS = Resource("", "v1", "pods", "Pod", has_status=True, fields=_POD_FIELDS)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False, has_status=True)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    _RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)

RESOURCES = (
    PODS,
    NODES,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    SLICES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    ACCESS_REVIEWS,
)


def resource_of(document: Document) -> Resource:
    """The resource that an object belongs to, by its apiVersion and kind.

    Raises:
        KeyError: The server does not know such objects.
    """
    key = (document["apiVersion"], document["kind"])
    return {(it.api_version, it.kind): it for it in RESOURCES}[key]


@dataclass(frozen=True, slots=True)
class Target:
    """What a request's path names."""

    resource: Resource
    namespace: str | None
    name: str | None = None
    subresource: str | None = None


def target_of(path: str) -> Target | None:
    """What a path names; None if it is none of the API's."""
    for resource in RESOURCES:
        if not path.startswith(f"{resource.prefix}/"):
            continue
        parts = path.removeprefix(f"{resource.prefix}/").split("/")
        namespace = None
        if resource.namespaced:
            if len(parts) < 3 or parts[0] != "namespaces":
                continue
            namespace, parts = parts[1], parts[2:]
        is_known = parts[0] == resource.plural and set(parts[2:]) <= _SUBRESOURCES
        if is_known and len(parts) <= 3 and all(parts):
            return Target(resource, namespace, *parts[1:])
    return None
