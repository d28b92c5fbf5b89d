"""The built-in enricher `cluster`: a policy may ask how far the counters can be trusted.

    input.cluster = {"state": "clustered", "stale_ms": 12, "peers": 2, "degraded": false}

So a policy chooses by itself to fail closed (`input.cluster.degraded` → block) or open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from formal_cluster.hookspecs import (
    ClusterInfo,
    DriverSettings,
    EnrichmentContext,
    hookimpl,
)
from formal_cluster.model import Stage
from formal_cluster.protocols import Enricher

NEVER_MS = 2**53 - 1
"""`stale_ms` when nothing was ever heard: the largest integer that every JSON reader keeps exact.

A missing or negative number would make `stale_ms > 5000` undefined or false, which lets an access
through just when nothing is known.
"""


class ClusterFieldsSettings(DriverSettings):
    """`[enrichment.cluster]` has no settings."""


class ClusterFields:
    """Adds `input.cluster`, whatever the caller had put there."""

    fields = frozenset({"cluster"})

    def __init__(self, cluster: Callable[[], ClusterInfo]) -> None:
        self._cluster = cluster

    def enrich(self, stage: Stage, document: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 - the Protocol's arguments
        """The cluster's condition; `degraded` while the counters are old or out of reach."""
        info = self._cluster()
        return {
            "cluster": {
                "state": info.state.value,
                "stale_ms": NEVER_MS if info.stale_ms is None else info.stale_ms,
                "peers": info.peers,
                "degraded": not info.reachable,
            }
        }


@hookimpl
def enrichment_settings() -> type[DriverSettings]:
    """The settings class of `[enrichment.cluster]`."""
    return ClusterFieldsSettings


@hookimpl
def create_enricher(settings: DriverSettings, context: EnrichmentContext) -> Enricher:  # noqa: ARG001 - the hook's arguments
    """Build the enricher."""
    return ClusterFields(context.cluster)
