"""A Kubernetes API server for tests: list, watch, get, create, replace and delete, strictly.

    async with ApiServer(directory) as server, server.world("proxies") as world:
        await world.create(documents.pod("a"))
        kubeconfig = server.write_kubeconfig(directory / "kubeconfig", namespace="proxies")

It speaks the real protocol, so the official client drives it as it is: resource versions, pages of
one snapshot, chunked watches with bookmarks, 410 for a compacted history, tokens, RBAC by Role
objects, Status objects for refusals. What is wrong with a request it says, where a real server
would ignore it. It has no controllers, no scheduler and no nodes: `World` does what those do.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from formal_cluster_conformance.k8s import credentials, tls
from formal_cluster_conformance.k8s.answers import Answers
from formal_cluster_conformance.k8s.faults import Dropped, Faults, Request
from formal_cluster_conformance.k8s.rbac import ADMINS, User
from formal_cluster_conformance.k8s.statuses import Refusal
from formal_cluster_conformance.k8s.store import Store
from formal_cluster_conformance.k8s.watching import Watch
from formal_cluster_conformance.k8s.world import World

_SHUTDOWN_S = 0.2


class ApiServer:
    """The server, on a free port of 127.0.0.1. An async context manager.

    Args:
        directory: Where its certificates are put.
        https: Whether to serve HTTPS. Default: if there is an `openssl` program to make a
            certificate with.
        bookmark_s: Seconds between the bookmarks of a watch. A real server takes about 60.

    Attributes:
        store: The objects. `store.compact()` forgets the history.
        faults: What is to go wrong.
        requests: Every request so far.
        watches: The watches under way.
        tokens: Whom each valid token stands for. Remove one to revoke it.
        admin_token: A token that may do everything.
    """

    def __init__(
        self, directory: Path, *, https: bool | None = None, bookmark_s: float = 60.0
    ) -> None:
        self._directory = directory
        self._https = tls.is_available() if https is None else https
        self.store = Store()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.watches: list[Watch] = []
        self.admin_token = secrets.token_urlsafe(16)
        self.tokens = {self.admin_token: User("admin", frozenset({ADMINS}))}
        self.ca_file: Path | None = None
        self._bookmark_s = bookmark_s
        self._port = 0
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )

    async def __aenter__(self) -> Self:
        context = None
        if self._https:
            context, self.ca_file = await asyncio.to_thread(
                tls.make_server_context, self._directory
            )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"{'https' if self._https else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Its port."""
        return self._port

    def world(self, namespace: str) -> World:
        """A namespace of its own, to put things into. An async context manager."""
        return World(self.url, namespace, token=self.admin_token, ca_file=self.ca_file)

    def write_kubeconfig(
        self, path: Path, *, token: str | None = None, namespace: str | None = None
    ) -> Path:
        """A kubeconfig for a token, by default the one that may do everything."""
        return credentials.write_kubeconfig(
            path,
            url=self.url,
            token=token or self.admin_token,
            ca_file=self.ca_file,
            namespace=namespace,
        )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        answers = Answers(self.store, self.tokens)
        try:
            answer = answers.prepare(request.method, request.path, request.query, request.headers)
            ...
        except Refusal as refusal:
            headers = {}
            if refusal.retry_after is not None:
                headers["Retry-After"] = str(refusal.retry_after)
            return web.json_response(refusal.status, status=refusal.code, headers=headers)
