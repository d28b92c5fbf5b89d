"""What a request may ask, and what an object must say. Stricter than the API server. Pure.

The API server ignores query parameters that it does not know. Here they are refused: a driver that
misspells one would never notice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from formal_cluster_conformance.k8s.resources import PODS, Document, Target
from formal_cluster_conformance.k8s.statuses import Refusal, invalid

_LIST = {
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "pretty",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
}
_WRITE = {"dryRun", "fieldManager", "fieldValidation", "pretty"}
_DELETE = {"gracePeriodSeconds", "propagationPolicy", "pretty"}
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The query of a list or a watch.

    Attributes:
        version: The resourceVersion; None if none was given.
        limit: 0 for no limit.
    """

    watch: bool = False
    bookmarks: bool = False
    version: int | None = None
    limit: int = 0
    token: str = ""
    timeout_s: int | None = None
    labels: str = ""
    fields: str = ""


def list_options(query: Mapping[str, str]) -> ListOptions:
    """The query of a list or a watch.

    Raises:
        Refusal: It is not valid.
    """
    _check_known(query, _LIST)
    options = ListOptions(
        watch=_boolean(query, "watch"),
        bookmarks=_boolean(query, "allowWatchBookmarks"),
        version=_number(query, "resourceVersion"),
        limit=_number(query, "limit") or 0,
        token=query.get("continue", ""),
        timeout_s=_number(query, "timeoutSeconds"),
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
    )
    if options.token and options.version is not None:
        raise Refusal(400, "specifying resource version is not allowed when using continue")
    if options.watch and (options.token or options.limit):
        raise Refusal(400, "limit and continue are not allowed with watch")
    match = query.get("resourceVersionMatch")
    if match and (options.version is None or options.watch):
        raise Refusal(400, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match not in {None, "Exact", "NotOlderThan"}:
        raise Refusal(400, f"resourceVersionMatch: supported values: Exact, NotOlderThan: {match}")
    return options


def check_query(method: str, query: Mapping[str, str]) -> None:
    """Refuse parameters that a request for one object cannot have.

    Raises:
        Refusal: There is one.
    """
    known = {"GET": {"pretty"}, "DELETE": _DELETE}
    _check_known(query, known.get(method, _WRITE))


def check_accept(accept: str | None) -> None:
    """Refuse a client that does not take JSON.

    Raises:
        Refusal: It does not.
    """
    kinds = {part.partition(";")[0].strip() for part in (accept or "*/*").split(",")}
    if not kinds & {"application/json", "application/*", "*/*"}:
        raise Refusal(406, "only the following media types are accepted: application/json")


def check_object(body: Any, target: Target) -> Document:
    """The object that a request brings.

    Raises:
        Refusal: It does not belong where the request puts it, or lacks what it must have.
    """
    resource = target.resource
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        raise Refusal(400, "the body is not an object of the API")
    if (body.get("apiVersion"), body.get("kind")) != (resource.api_version, resource.kind):
        raise Refusal(400, f"the body is not a {resource.api_version} {resource.kind}")
    metadata = body.get("metadata", {})
    name = metadata.get("name") or target.name or ""
    if target.name not in {None, name}:
        raise Refusal(400, f"the name of the object ({name}) does not match the URL's")
    if metadata.get("namespace") not in {None, target.namespace}:
        raise Refusal(400, "the namespace of the object does not match the one of the request")
    if not _SUBDOMAIN.fullmatch(name):
        raise invalid(resource, name, f'metadata.name: Invalid value: "{name}": a DNS-1123 name')
    if resource is PODS:
        _check_pod(name, body)
    return body


def _check_pod(name: str, pod: Document) -> None:
    containers = (pod.get("spec") or {}).get("containers")
    if not containers:
        raise invalid(PODS, name, "spec.containers: Required value")
    for number, container in enumerate(containers):
        for field in ("name", "image"):
            if not container.get(field):
                raise invalid(PODS, name, f"spec.containers[{number}].{field}: Required value")
    status = pod.get("status") or {}
    addresses = [entry.get("ip") for entry in status.get("podIPs") or ()]
    if addresses and status.get("podIP") != addresses[0]:
        raise invalid(PODS, name, "status.podIPs[0].ip: must be equal to status.podIP")


def _check_known(query: Mapping[str, str], known: set[str]) -> None:
    unknown = sorted(set(query) - known)
    if unknown:
        raise Refusal(400, f"unknown query parameter {unknown[0]!r}")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdecimal():
        raise Refusal(400, f"{name}: Invalid value: {text!r}: not a number")
    return int(text)


def _boolean(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false").lower()
    if text not in {"true", "false", "1", "0"}:
        raise Refusal(400, f"{name}: Invalid value: {text!r}: not a boolean")
    return text in {"true", "1"}
