"""Label and field selectors: parsed as strictly as the API server does. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from formal_cluster_conformance.k8s.resources import Document, Resource
from formal_cluster_conformance.k8s.statuses import Refusal

Predicate: TypeAlias = Callable[[Document], bool]

_KEY = (
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA = re.compile(r",(?![^(]*\))")


def label_predicate(selector: str) -> Predicate:
    """Whether an object's labels match.

    Raises:
        Refusal: It is no label selector.
    """
    requirements = [_requirement(part.strip(), selector) for part in _COMMA.split(selector)]
    if not selector.strip():
        return lambda _: True
    return lambda document: all(
        holds(document["metadata"].get("labels") or {}) for holds in requirements
    )


def _requirement(text: str, selector: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _EQUALITY.fullmatch(text):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _SET.fullmatch(text):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "notin":
            return lambda labels: labels.get(key) not in values
        return lambda labels: labels.get(key) in values
    if found := _EXISTS.fullmatch(text):
        absent, key = bool(found[1]), found[2]
        return lambda labels: (key in labels) is not absent
    if not selector.strip():
        return lambda _: True
    raise Refusal(400, f"unable to parse requirement: {selector!r} at {text!r}")


def field_predicate(selector: str, resource: Resource) -> Predicate:
    """Whether an object's fields match.

    Raises:
        Refusal: It is no field selector, or not one that the resource supports.
    """
    known = {"metadata.name", "metadata.namespace"} | resource.fields
    terms: list[tuple[str, bool, str]] = []
    for part in filter(None, selector.split(",")):
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if found is None:
            raise Refusal(400, f"invalid selector: '{selector}'; can't understand '{part}'")
        if found[1] not in known:
            raise Refusal(400, f"field label not supported: {found[1]}")
        terms.append((found[1], found[2] != "!=", found[3]))
    return lambda document: all(
        (_field(document, path) == value) is equal for path, equal, value in terms
    )


def _field(document: Document, path: str) -> str:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
