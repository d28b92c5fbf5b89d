"""`/v1/cache/<namespace>/<key>`: the shared cache for those who do not speak Python.

Values are the bodies' bytes. Only namespaces with `http = true` are served.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from formal_cluster.cache import Cache
from formal_cluster.errors import InputError
from formal_cluster.server.answers import asked, error_response
from formal_cluster.server.keys import CLUSTER

_CONDITIONS = (hdrs.IF_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE, hdrs.IF_RANGE)


async def read(request: web.Request) -> web.Response:
    """GET: the value, from memory; with `?fresh` from the store. 404 if there is none."""
    cache, key = _place(request)
    value = await cache.get(key, fresh=asked(request, "fresh"))
    if value is None:
        return error_response(404, "not_cached", f"{request.path} holds nothing")
    return web.Response(body=value, content_type="application/octet-stream")


async def write(request: web.Request) -> web.Response:
    """PUT: 204 once it is written; with `If-None-Match: *` 201, or 412 if there is an entry."""
    cache, key = _place(request)
    ttl = _ttl(request)
    only_if_absent = _only_if_absent(request)
    value = await request.read()
    if not only_if_absent:
        await cache.put(key, value, ttl=ttl)
        return web.Response(status=204)
    if await cache.put_if_absent(key, value, ttl=ttl) is not None:
        return error_response(412, "cached_already", f"{request.path} holds an entry, which stays")
    return web.Response(status=201)


async def remove(request: web.Request) -> web.Response:
    """DELETE: 204, or 404 if there was nothing."""
    cache, key = _place(request)
    if await cache.delete(key):
        return web.Response(status=204)
    return error_response(404, "not_cached", f"{request.path} holds nothing")


def _place(request: web.Request) -> tuple[Cache[bytes], str]:
    cluster = request.app[CLUSTER]
    namespace, key = request.match_info["namespace"], request.match_info["key"]
    settings = cluster.settings.cache.get(namespace)
    if settings is None or not settings.http:
        raise InputError(
            f"no cache {namespace!r} is served; declare [cache.{namespace}] with http = true",
            code="no_such_cache",
        )
    return cluster.cache(namespace), key


def _ttl(request: web.Request) -> float | None:
    text = request.query.get("ttl")
    try:
        return None if text is None else float(text)
    except ValueError:
        raise InputError(f"ttl must be seconds, not {text!r}", code="invalid_ttl") from None


def _only_if_absent(request: web.Request) -> bool:
    """A condition that is not known must not be passed over: the entry would be overwritten."""
    wanted = request.headers.get(hdrs.IF_NONE_MATCH)
    unknown = [name for name in _CONDITIONS if name in request.headers]
    if unknown or wanted not in {None, "*"}:
        raise InputError(
            "the only condition for writing is If-None-Match: *", code="unknown_condition"
        )
    return wanted == "*"
