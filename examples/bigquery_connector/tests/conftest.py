"""The unmodified google-cloud-bigquery client, a stand-in upstream, connectors on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from google.cloud import bigquery
from google.oauth2.credentials import Credentials
from starlette.applications import Starlette

from formal_cluster.cluster import Cluster
from formal_cluster_bigquery.connector import build_app
from formal_cluster_bigquery.jobs import NAMESPACE
from formal_cluster_bigquery.local_bigquery import LocalBigQuery
from formal_cluster_bigquery.site import POLICIES, USERS

PROJECT = "my-project"


@pytest.fixture
def client() -> Any:
    """`client(url, user)`: a client of one user."""
    made: list[bigquery.Client] = []

    def make(url: str, user: str = "alice") -> bigquery.Client:
        made.append(
            bigquery.Client(
                project=PROJECT,
                credentials=Credentials(f"{user}-token"),
                client_options={"api_endpoint": url},
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """`await serve(app)`: the URL at which an ASGI application is served."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
    with contextlib.ExitStack() as listeners:

        async def start(app: Starlette) -> str:
            config = uvicorn.Config(
                app, log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=75
            )
            server = uvicorn.Server(config)
            listener = listeners.enter_context(socket.create_server(("127.0.0.1", 0)))
            task = asyncio.create_task(server.serve([listener]))
            running.append((server, task))
            async with asyncio.timeout(50):
                while not server.started:
                    assert not task.done(), "the server ended at start-up"
                    await asyncio.sleep(0.01)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start
        for server, task in reversed(running):
            server.should_exit = True
            await task


@pytest.fixture
async def upstream(serve) -> str:
    return await serve(LocalBigQuery().app())


@pytest.fixture
async def connector(serve, upstream) -> Callable[..., Any]:
    """`await connector(**cache)`: the URL of a connector with the memory store."""

    async def start(*, policies: Path = POLICIES, **cache: Any) -> str:
        cluster = Cluster.from_settings(
            {
                "store": {"driver": "memory"},
                "policy": {"paths": [str(policies)]},
                "cache": {NAMESPACE: cache},
            }
        )
        return await serve(build_app(cluster, upstream, USERS))

    return start
