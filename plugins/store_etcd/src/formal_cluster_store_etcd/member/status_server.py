"""Serves the status document on the peer port while no etcd runs there.

The port is etcd's: the server is closed before etcd is started and opened again when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable
from typing import Final

from aiohttp import web

from formal_cluster_store_etcd.member.ports import listen
from formal_cluster_store_etcd.planning.peer_status import PATH, PeerStatus
from formal_cluster_store_etcd.urls import Endpoint

_CLOSE_S: Final = 0.5


@contextlib.asynccontextmanager
async def serve_status(
    where: Endpoint, read: Callable[[], PeerStatus], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[None, None]:
    """Serve the document, read anew for each request, inside the `async with`.

    Args:
        tls: Serve by TLS, to those whom this context accepts.

    Raises:
        CannotStart: The port cannot be listened on.
    """

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(text=read().model_dump_json())

    application = web.Application()
    application.router.add_get(PATH, answer)
    listening = listen(where)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, ssl_context=tls).start()
        yield
    finally:
        # A connection that is just being accepted when the server closes would be left open:
        # accept no more, and give the accepted one a turn of the loop.
        asyncio.get_running_loop().remove_reader(listening)
        await asyncio.sleep(0)
        await runner.cleanup()
