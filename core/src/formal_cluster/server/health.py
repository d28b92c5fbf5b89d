"""Is it alive, may it serve, how does it stand, and what did it decide about the cluster?

`/health`, `/ready`, `/v1/cluster`, `/v1/cluster/journal`, `/metrics`
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest

from formal_cluster.server.keys import CLUSTER, METRICS
from formal_cluster.status import ClusterStatus


async def alive(_request: web.Request) -> web.Response:
    """200 as long as the process answers."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 when decisions may be asked for, with the cluster's state; 503 while it is forming, and
    from when it is told to stop, so that no new requests are sent to it.

    An instance whose state server cannot start is ready, alone, and says so in the body.
    """
    cluster = request.app[CLUSTER]
    status = cluster.status()
    reason = "the instance is leaving" if cluster.leaving else status.reason
    body = {"ready": cluster.ready, "state": status.state, "reason": reason}
    return web.json_response(body, status=200 if cluster.ready else 503)


async def cluster(request: web.Request) -> web.Response:
    """The cluster as this instance sees it."""
    return web.json_response(describe(request.app[CLUSTER].status()))


async def journal(request: web.Request) -> web.Response:
    """The instance's last decisions about the cluster, oldest first."""
    entries = request.app[CLUSTER].journal()
    return web.json_response({"journal": [asdict(entry) for entry in entries]})


def describe(status: ClusterStatus) -> dict[str, Any]:
    """`/v1/cluster`'s document."""
    store, counters = status.store, status.counters
    return {
        "self": status.instance.id,
        "state": status.state,
        "reason": status.reason,
        "leader": store.leader,
        "members": [
            {"id": m.id, "address": m.address, "role": m.role, "healthy": m.healthy}
            for m in store.members
        ],
        "cluster_id": store.cluster_id,
        "revision": store.revision,
        "stale_ms": counters.stale_ms,
        "store": {
            "state": store.state,
            "role": store.role,
            "last_error": store.last_error,
            "warnings": store.warnings,
        },
        "counters": {
            "caught_up": counters.caught_up,
            "revision": counters.revision,
            "subjects": counters.subjects,
            "pending": counters.pending,
            "clock_off_ms": counters.clock_off_ms,
            "clock_warning": counters.clock_warning,
        },
        "cache": None if status.cache is None else asdict(status.cache),
        "policy_error": status.policy_error,
        "clock": {
            "error_bound_ms": status.clock_error_bound_ms,
            "warning": status.clock_warning,
        },
    }


async def metrics(request: web.Request) -> web.Response:
    """The instance's metrics in Prometheus' text format."""
    body = generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, content_type="text/plain", charset="utf-8")
