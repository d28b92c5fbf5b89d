"""Serve one instance until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

from aiohttp import web

from formal_cluster.cluster import Cluster
from formal_cluster.errors import ConfigError
from formal_cluster.server import collector
from formal_cluster.server.app import build_app
from formal_cluster.settings import ServerSettings, Settings

_log = logging.getLogger(__name__)
_SHUTDOWN_S = 2.5  # a strict decision has two seconds


async def serve(settings: Settings) -> None:
    """Run the instance and its HTTP API until SIGINT or SIGTERM.

    Then `/ready` turns red, the instance leaves the cluster while it goes on answering, and stops.
    A second signal cuts the leaving short.

    The port is bound before anything else starts, so that a taken one costs nothing.

    Raises:
        ConfigError: The port cannot be bound, or the settings or policies are wrong.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with _bind(settings.server) as listener:
        async with Cluster.from_settings(settings) as cluster:
            runner = web.AppRunner(
                build_app(cluster), access_log=None, shutdown_timeout=_SHUTDOWN_S
            )
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                host, port = listener.getsockname()[:2]
                collector.calm()
                _log.info("serving decisions", extra={"host": host, "port": port})
                await stop.wait()
                _log.info("leaving")
                await _leave(cluster, stop)
                _log.info("stopping")
            finally:
                await runner.cleanup()


async def _leave(cluster: Cluster, stop: asyncio.Event) -> None:
    stop.clear()
    leaving = asyncio.create_task(cluster.leave())
    again = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({leaving, again}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (leaving, again):
            task.cancel()
        await asyncio.wait({leaving, again})
    if not leaving.cancelled():
        leaving.result()


def _bind(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "set server.host or server.port, or end the process that holds the port"
        ) from error
