"""Listens on a free port, and ends every connection when told to, also one that is just beginning.

What the standard library's servers leave of their connections outlives the test that made them,
and is reported as a leak by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable

from aiohttp import web

_SHUTDOWN_S = 0.1
_HANDSHAKE_S = 0.5
"""How long a connection may take to begin, once the listener has ended."""


@contextlib.asynccontextmanager
async def listening(
    protocol: Callable[[], asyncio.BaseProtocol],
    context: ssl.SSLContext | None,
    port: int,
    host: str = "127.0.0.1",
) -> AsyncIterator[int]:
    """Accept connections on a port of the host, 0 for any that is free. Gives the port."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.WriteTransport] = []
    beginning: dict[asyncio.Task[None], socket.socket] = {}

    async def begin(connection: socket.socket) -> None:
        # A client that goes away or mistrusts the certificate is its own problem.
        with contextlib.suppress(OSError):
            transport, _ = await loop.connect_accepted_socket(protocol, connection, ssl=context)
            transports.append(transport)

    def accept() -> None:
        with contextlib.suppress(OSError):  # it has gone away again
            connection, _ = listener.accept()
            connection.setblocking(False)
            task = asyncio.create_task(begin(connection))
            beginning[task] = connection
            task.add_done_callback(beginning.pop)

    with socket.create_server((host, port)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, accept)
        try:
            yield listener.getsockname()[1]
        finally:
            loop.remove_reader(listener)
            if beginning:
                await asyncio.wait(beginning, timeout=_HANDSHAKE_S)
            unfinished = dict(beginning)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            for transport in transports:
                # A TLS transport that was closed twice has no protocol to abort before 3.11.5.
                with contextlib.suppress(AttributeError):
                    transport.abort()
            for connection in unfinished.values():
                connection.close()
            # Each connection learns of its end in the next round of the event loop.
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(app: web.Application, host: str) -> AsyncIterator[str]:
    """Serve the application on a free port of the host. Gives the URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        assert runner.server is not None
        async with listening(runner.server, None, 0, host) as port:
            yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
