"""Pass a request on to the upstream and its response back, both as streams.

The request target and the Host header pass unchanged, byte by byte: a signature stays verifiable
upstream, and no re-encoding can turn one bucket's path into another's.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_TIMEOUT = httpx.Timeout(60, connect=5).as_dict()
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade expect".split()
)


async def forward(request: Request, client: httpx.AsyncClient, upstream: str) -> StreamingResponse:
    """Send `request` to `upstream` and return its response once the headers are here.

    Raises:
        httpx.TransportError: The upstream did not answer.
    """
    query = request.scope["query_string"]
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    outgoing = httpx.Request(
        request.method,
        upstream,
        headers=_end_to_end(request.headers.raw),
        content=request.stream() if has_body else None,
        extensions={
            "target": request.scope["raw_path"] + (b"?" + query if query else b""),
            "timeout": _TIMEOUT,
        },
    )
    return _Forwarded(await client.send(outgoing, stream=True))


class _Forwarded(StreamingResponse):
    """The upstream's response as it comes in, released however the client's side ends."""

    def __init__(self, incoming: httpx.Response) -> None:
        super().__init__(incoming.aiter_raw(), status_code=incoming.status_code)
        self.raw_headers = _end_to_end(incoming.headers.raw)
        self._incoming = incoming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._incoming.aclose()


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what concerns one connection only."""
    lowered = [(name.lower(), value) for name, value in headers]
    listed = b",".join(value.lower() for name, value in lowered if name == b"connection")
    dropped = _HOP_BY_HOP | {name.strip() for name in listed.split(b",")}
    return [(name, value) for name, value in lowered if name not in dropped]
