"""All objects, each change with its own resource version, and the history that watches replay."""

from __future__ import annotations

import asyncio
import copy
import datetime
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from formal_cluster_conformance.k8s.rbac import Grants
from formal_cluster_conformance.k8s.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    Document,
    Resource,
    Target,
)
from formal_cluster_conformance.k8s.statuses import (
    already_exists,
    conflict,
    expired,
    not_found,
)

_FIRST_VERSION = 1_000
_DEFAULT_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        before: The object before; None if it is new.
        after: The object after; None if it is gone.
    """

    version: int
    resource: Resource
    namespace: str | None
    before: Document | None
    after: Document | None


class Store:
    """The objects. Every answer is a value: nothing handed out changes later."""

    def __init__(self) -> None:
        self.version = _FIRST_VERSION
        self.oldest = _FIRST_VERSION
        self._objects: dict[Resource, dict[tuple[str, str], Document]] = {}
        self._history: list[Change] = []
        self._news = asyncio.Event()

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def get(self, target: Target) -> Document:
        """One object.

        Raises:
            Refusal: There is none of that name.
        """
        assert target.name is not None
        found = self._of(target.resource).get((target.namespace or "", target.name))
        if found is None:
            raise not_found(target.resource, target.name)
        return found

    def list(self, resource: Resource, namespace: str | None) -> list[Document]:
        """All objects of a resource, in the order of their keys."""
        return [
            document
            for (of, _), document in sorted(self._of(resource).items())
            if namespace is None or of == namespace
        ]

    def changes(self, after: int, target: Target) -> Iterator[Change]:
        """What changed after a version, oldest first.

        Raises:
            Refusal: The history does not reach back so far.
        """
        if after < self.oldest:
            raise expired(after, self.oldest)
        for change in self._history[max(0, after - self.oldest) :]:
            if change.resource is target.resource and change.namespace == target.namespace:
                yield change

    @property
    def news(self) -> asyncio.Event:
        """Set at the next change, or poke. Each news has an event of its own."""
        return self._news

    def poke(self) -> None:
        """Wake up all who wait for news."""
        self._news.set()
        self._news = asyncio.Event()

    @property
    def grants(self) -> Grants:
        """Who may do what."""
        return Grants(
            *(
                tuple(self._of(resource).values())
                for resource in (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)
            )
        )

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def create(self, target: Target, body: Document) -> Document:
        """Add an object; a pod begins as Pending, whatever status it brings.

        Raises:
            Refusal: The name is taken, or the namespace does not exist.
        """
        resource, name = target.resource, body["metadata"]["name"]
        if resource.namespaced and ("", target.namespace) not in self._of(NAMESPACES):
            raise not_found(NAMESPACES, target.namespace or "")
        if (target.namespace or "", name) in self._of(resource):
            raise already_exists(resource, name)
        document = _changeable(body)
        document["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        if resource.namespaced:
            document["metadata"]["namespace"] = target.namespace
        if resource is PODS:
            document["spec"].setdefault("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
            document["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        return self._put(target, None, document)

    def replace(self, target: Target, body: Document) -> Document:
        """Change an object: all but its status, or with that subresource nothing else.

        Raises:
            Refusal: There is none, or it was changed since the body was read.
        """
        before = self.get(target)
        version = body["metadata"].get("resourceVersion")
        if version not in {None, before["metadata"]["resourceVersion"]}:
            raise conflict(target.resource, target.name or "")
        document = _changeable(body if target.subresource is None else before)
        if target.subresource is not None:
            document["status"] = copy.deepcopy(body.get("status", {}))
        elif target.resource.has_status:
            document["status"] = before.get("status", {})
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "namespace"):
            document["metadata"].pop(field, None)
            if field in before["metadata"]:
                document["metadata"][field] = before["metadata"][field]
        return self._put(target, before, document)

    def delete(self, target: Target, grace_s: int | None) -> Document:
        """Remove an object, a namespace with all that is in it. A pod on a node is only marked,
        until its grace period is over: its node then deletes it once more, with none.

        Raises:
            Refusal: There is none.
        """
        before = self.get(target)
        document = _changeable(before)
        if target.resource is PODS:
            grace_s = _grace(before, grace_s)
            document["metadata"]["deletionTimestamp"] = _now(grace_s)
            document["metadata"]["deletionGracePeriodSeconds"] = grace_s
            if grace_s:
                return self._put(target, before, document)
        if target.resource is NAMESPACES:
            for resource, objects in self._objects.items():
                for namespace, name in [key for key in objects if key[0] == target.name]:
                    self._remove(Target(resource, namespace, name))
        self._remove(target)
        return document

    def _remove(self, target: Target) -> None:
        assert target.name is not None
        before = self._of(target.resource).pop((target.namespace or "", target.name))
        self.version += 1
        self._record(target, before, None)

    def compact(self) -> None:
        """Forget the history: watches that want to go on from an older version are told so."""
        self._history.clear()
        self.oldest = self.version

    def _put(self, target: Target, before: Document | None, document: dict[str, Any]) -> Document:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        key = (target.namespace or "", document["metadata"]["name"])
        self._of(target.resource)[key] = document
        self._record(target, before, document)
        return document

    def _record(self, target: Target, before: Document | None, after: Document | None) -> None:
        change = Change(self.version, target.resource, target.namespace, before, after)
        self._history.append(change)
        self.poke()

    def _of(self, resource: Resource) -> dict[tuple[str, str], Document]:
        return self._objects.setdefault(resource, {})


def _changeable(document: Document) -> dict[str, Any]:
    return copy.deepcopy(dict(document))


def _grace(pod: Document, asked: int | None) -> int:
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in {"Succeeded", "Failed"}:
        return 0
    granted = pod["metadata"].get("deletionGracePeriodSeconds")
    wanted: int = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
    return wanted if granted is None else min(granted, wanted)


def _now(later_s: int = 0) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
