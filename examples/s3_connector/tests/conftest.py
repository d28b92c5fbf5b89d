"""A real moto server for all tests, connectors on real sockets in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config

from formal_cluster.cluster import Cluster
from formal_cluster_demo.connector import build_app
from formal_cluster_demo.instance import POLICIES
from formal_cluster_demo.polling import poll
from formal_cluster_demo.processes import Processes


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port of 127.0.0.1 that the kernel gives to nobody who asks for any."""
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    def pick() -> int:
        while True:
            port = random.randrange(10_000, given_from)
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port

    return pick


@pytest.fixture(scope="session")
def moto_url(free_port, tmp_path_factory) -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    log = tmp_path_factory.mktemp("moto") / "moto.log"

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/moto-api/", trust_env=False).is_success
        return False

    with Processes() as processes:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        processes.start(command, log, os.environ)
        assert poll(answers, bool, within_s=150), log.read_text()
        yield url


@pytest.fixture
def s3() -> Callable[..., Any]:
    """A client of one user; `signed=False` sends no identity."""

    def client(url: str, user: str = "admin", **config: Any) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=user,
            aws_secret_access_key="irrelevant",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                proxies={},
                **config,
            ),
        )

    return client


@pytest.fixture
async def connector(moto_url) -> AsyncIterator[Callable[..., Any]]:
    """Start a connector with the memory store; returns its URL."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
    listeners = contextlib.ExitStack()

    async def start(*, policies: Path = POLICIES, upstream: str = moto_url, **options: Any) -> str:
        cluster = Cluster.from_settings(
            {
                "discovery": {"static": {"instances": [{"id": "x", "address": "127.0.0.1"}]}},
                "store": {"driver": "memory"},
                "policy": {"paths": [str(policies)]},
            }
        )
        server = uvicorn.Server(
            uvicorn.Config(
                build_app(cluster, upstream, **options),
                log_config=None,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=75,
            )
        )
        listener = listeners.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.create_task(server.serve([listener]))
        running.append((server, task))
        async with asyncio.timeout(50):
            while not server.started:
                assert not task.done(), "the connector ended at start-up"
                await asyncio.sleep(0.01)
        return url

    with listeners:
        yield start
        for server, task in running:
            server.should_exit = True
            await task
