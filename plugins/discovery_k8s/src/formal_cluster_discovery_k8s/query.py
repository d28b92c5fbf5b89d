"""What is asked of the API server. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from formal_cluster_discovery_k8s.permissions import Permission


@dataclass(frozen=True, slots=True)
class Query:
    """Some objects of one kind in one namespace."""

    permission: Permission
    namespace: str
    label_selector: str | None = None
    field_selector: str | None = None

    @property
    def selectors(self) -> dict[str, str]:
        """The selectors as the client takes them."""
        given = {"label_selector": self.label_selector, "field_selector": self.field_selector}
        return {name: value for name, value in given.items() if value is not None}

    def __str__(self) -> str:
        chosen = f" with {self.label_selector}" if self.label_selector else ""
        return f"{self.permission.resource} in namespace {self.namespace}{chosen}"
