"""What all handlers answer and read alike."""

from __future__ import annotations

from aiohttp import web


def error_response(status: int, code: str, message: str) -> web.Response:
    """An error in the Data API's shape."""
    return web.json_response({"code": code, "message": message}, status=status)


def asked(request: web.Request, name: str) -> bool:
    """Whether an option is in the query, as `?name` or `?name=true`."""
    return request.query.get(name, "false") in {"", "true"}
