"""formal-cluster: instances of one proxy discover each other and share rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formal_cluster.cluster import Cluster
    from formal_cluster.hookspecs import hookimpl

__all__ = ["Cluster", "hookimpl"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: `formal-cluster --help` needs neither."""
    if name == "Cluster":
        from formal_cluster.cluster import Cluster

        return Cluster
    if name == "hookimpl":
        from formal_cluster.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
