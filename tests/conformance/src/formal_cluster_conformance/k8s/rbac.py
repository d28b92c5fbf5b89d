"""Who may do what: Roles and bindings, evaluated as the API server does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from formal_cluster_conformance.k8s.resources import Document, Target

ADMINS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Whom a token stands for."""

    name: str
    groups: frozenset[str] = frozenset()


def service_account(namespace: str, name: str) -> User:
    """The user that a service account is."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        frozenset({"system:serviceaccounts", f"system:serviceaccounts:{namespace}"}),
    )


@dataclass(frozen=True, slots=True)
class Grants:
    """All Roles, ClusterRoles and bindings there are."""

    roles: tuple[Document, ...]
    role_bindings: tuple[Document, ...]
    cluster_roles: tuple[Document, ...]
    cluster_role_bindings: tuple[Document, ...]


def is_allowed(user: User, verb: str, target: Target, grants: Grants) -> bool:
    """Whether the user may do this."""
    if ADMINS in user.groups:
        return True
    return any(_permits(rule, verb, target) for rule in _rules_for(user, target.namespace, grants))


def _rules_for(user: User, namespace: str | None, grants: Grants) -> Iterator[Document]:
    for binding in grants.cluster_role_bindings:
        if _is_subject(user, binding):
            yield from _rules(grants.cluster_roles, binding["roleRef"]["name"], None)
    for binding in grants.role_bindings:
        if binding["metadata"]["namespace"] == namespace and _is_subject(user, binding):
            reference = binding["roleRef"]
            if reference["kind"] == "ClusterRole":
                yield from _rules(grants.cluster_roles, reference["name"], None)
            else:
                yield from _rules(grants.roles, reference["name"], namespace)


def _rules(roles: Iterable[Document], name: str, namespace: str | None) -> Iterator[Document]:
    for role in roles:
        metadata = role["metadata"]
        if metadata["name"] == name and metadata.get("namespace") == namespace:
            yield from role.get("rules") or ()


def _is_subject(user: User, binding: Document) -> bool:
    for subject in binding.get("subjects") or ():
        match subject["kind"]:
            case "User":
                found = subject["name"] == user.name
            case "Group":
                found = subject["name"] in user.groups
            case _:
                found = service_account(subject["namespace"], subject["name"]).name == user.name
        if found:
            return True
    return False


def _permits(rule: Document, verb: str, target: Target) -> bool:
    what = "/".join(filter(None, [target.resource.plural, target.subresource]))
    names = rule.get("resourceNames")
    return (
        bool({verb, "*"} & set(rule["verbs"]))
        and bool({target.resource.group, "*"} & set(rule.get("apiGroups", ())))
        and bool({what, "*"} & set(rule.get("resources", ())))
        and (not names or target.name in names)
    )
