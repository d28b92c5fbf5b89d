"""`POST /v1/data/formal/v2/<stage>`: OPA's Data API, so that OPA clients work unchanged.

The answer has `result` and `decision_id`; `result` is absent when no policy had anything to say.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import msgspec
from aiohttp import web

from formal_cluster.decision_log import reading_as_json
from formal_cluster.errors import InputError
from formal_cluster.model import STAGE_BY_NAME
from formal_cluster.server import rate_limit
from formal_cluster.server.answers import asked
from formal_cluster.server.bodies import parse_input
from formal_cluster.server.keys import CLUSTER

_encode = msgspec.json.Encoder().encode


async def decide(request: web.Request) -> web.Response:
    """Decide on the posted input."""
    started = time.perf_counter_ns()
    cluster = request.app[CLUSTER]
    stage = STAGE_BY_NAME.get(request.match_info["stage"])
    if stage is None:
        known = ", ".join(sorted(STAGE_BY_NAME))
        message = f"there is no stage {request.match_info['stage']!r}; the stages are {known}"
        raise InputError(message, code="unknown_stage")
    document = parse_input(await request.read(), max_depth=cluster.settings.server.max_depth)
    decision = await cluster.decide_as_declared(stage, document)

    answer: dict[str, Any] = {"decision_id": decision.id}
    if decision.result is not None:
        answer["result"] = decision.result
    if asked(request, "provenance"):
        answer["provenance"] = {
            "version": version("formal-cluster"),
            "policies": [outcome.policy for outcome in decision.outcomes],
            "counters": [reading_as_json(reading) for reading in decision.counters],
            "cluster": decision.cluster,
            "grade": decision.grade,
            "revision": decision.revision,
            "stale_ms": decision.stale_ms,
            "reason": decision.reason,
        }
    fields: dict[str, str] = {}
    if cluster.settings.server.ratelimit or asked(request, "ratelimit"):
        met = rate_limit.quotas(decision, cluster.reset_ms)
        answer["ratelimit"] = rate_limit.as_json(met)
        fields = rate_limit.headers(met, blocked=not decision.permitted)
    if asked(request, "metrics"):
        answer["metrics"] = {"timer_server_handler_ns": time.perf_counter_ns() - started}
    return web.Response(
        body=_encode(answer), content_type="application/json", headers=fields or None
    )
