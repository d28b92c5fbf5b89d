"""Lists, whole or in pages that all show the same moment."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from formal_cluster_conformance.k8s.resources import Document, Target
from formal_cluster_conformance.k8s.selectors import Predicate, field_predicate, label_predicate
from formal_cluster_conformance.k8s.statuses import Refusal
from formal_cluster_conformance.k8s.store import Store
from formal_cluster_conformance.k8s.validation import ListOptions


@dataclass(frozen=True, slots=True)
class _Snapshot:
    version: int
    items: tuple[Document, ...]


class Lists:
    """Answers lists, and remembers the rest of those that were read in part."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: list[_Snapshot] = []

    def answer(self, target: Target, options: ListOptions) -> Document:
        """One page.

        Raises:
            Refusal: The selectors are not valid, or the page's token is too old.
        """
        if options.token:
            snapshot, start = self._resume(options.token)
        else:
            snapshot, start = self._snapshot(target, options), 0
        end = start + options.limit if options.limit else len(snapshot.items)
        metadata: dict[str, Any] = {"resourceVersion": str(snapshot.version)}
        if end < len(snapshot.items):
            self._snapshots.append(snapshot)
            metadata["continue"] = _token(len(self._snapshots) - 1, end)
            if not options.labels and not options.fields:
                metadata["remainingItemCount"] = len(snapshot.items) - end
        return {
            "kind": f"{target.resource.kind}List",
            "apiVersion": target.resource.api_version,
            "metadata": metadata,
            "items": list(snapshot.items[start:end]),
        }

    def _snapshot(self, target: Target, options: ListOptions) -> _Snapshot:
        if options.version is not None and options.version > self._store.version:
            raise Refusal(
                504,
                f"Too large resource version: {options.version}, current: {self._store.version}",
                retry_after=1,
            )
        selects = selection(target, options)
        listed = self._store.list(target.resource, target.namespace)
        return _Snapshot(self._store.version, tuple(filter(selects, listed)))

    def _resume(self, token: str) -> tuple[_Snapshot, int]:
        try:
            number, start = json.loads(base64.urlsafe_b64decode(token))
            snapshot = self._snapshots[number]
        except (ValueError, TypeError, IndexError):
            raise Refusal(400, "continue key is not valid") from None
        if snapshot.version < self._store.oldest:
            raise Refusal(410, "The provided continue parameter is too old")
        return snapshot, start


def selection(target: Target, options: ListOptions) -> Predicate:
    """Whether an object is selected.

    Raises:
        Refusal: The selectors are not valid.
    """
    by_label = label_predicate(options.labels)
    by_field = field_predicate(options.fields, target.resource)
    by_name = target.name
    return lambda document: (
        by_label(document)
        and by_field(document)
        and by_name in {None, document["metadata"]["name"]}
    )


def _token(number: int, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([number, start]).encode()).decode()
