"""The aiohttp application: every route in one table, every error as JSON with a code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from formal_cluster.cluster import Cluster
from formal_cluster.errors import CacheUnavailable, CacheValueError, InputError, OutcomeUnknown
from formal_cluster.server import cache_api, data_api, health
from formal_cluster.server.answers import error_response
from formal_cluster.server.keys import CLUSTER, METRICS
from formal_cluster.server.metrics import Metrics

_log = logging.getLogger(__name__)
_STATUS = {"no_such_cache": 404}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(cluster: Cluster) -> web.Application:
    """The application that answers for `cluster`, which the caller starts and stops."""
    app = web.Application(
        middlewares=[errors_as_json], client_max_size=cluster.settings.server.max_body_bytes
    )
    app[CLUSTER] = cluster
    app[METRICS] = Metrics(cluster)
    app.add_routes(
        [
            web.post("/v1/data/formal/v2/{stage}", data_api.decide),
            web.get("/v1/cache/{namespace}/{key:.+}", cache_api.read),
            web.put("/v1/cache/{namespace}/{key:.+}", cache_api.write),
            web.delete("/v1/cache/{namespace}/{key:.+}", cache_api.remove),
            web.get("/health", health.alive),
            web.get("/ready", health.ready),
            web.get("/v1/cluster", health.cluster),
            web.get("/v1/cluster/journal", health.journal),
            web.get("/metrics", health.metrics),
        ]
    )
    return app


@web.middleware
async def errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every failure into `{"code": …, "message": …}`; nothing is answered as a decision."""
    try:
        return await handler(request)
    except InputError as error:
        return error_response(_STATUS.get(error.code, 400), error.code, str(error))
    except CacheValueError as error:
        return error_response(413, "value_too_large", str(error))
    except CacheUnavailable as error:
        return error_response(503, "cache_unavailable", str(error))
    except OutcomeUnknown as error:
        return error_response(503, "outcome_unknown", str(error))
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[CLUSTER].settings.server.max_body_bytes
        return error_response(
            413, "body_too_large", f"the body is larger than {limit} bytes (server.max_body_bytes)"
        )
    except web.HTTPNotFound:
        return error_response(
            404,
            "not_found",
            f"{request.path} is not served here; decisions are POST /v1/data/formal/v2/<stage>",
        )
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return error_response(405, "method_not_allowed", f"use {allowed} for {request.path}")
    except web.HTTPException as error:
        return error_response(error.status, "http_error", error.reason)
    except Exception:  # noqa: BLE001  the outermost frame: logged in full, answered as a failure
        _log.exception("a request failed unexpectedly", extra={"path": request.path})
        return error_response(500, "internal_error", "the request failed; see the instance's log")
