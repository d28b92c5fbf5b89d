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
import json
import secrets
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from formal_cluster_conformance.k8s import credentials, tls
from formal_cluster_conformance.k8s.answers import Answers, authenticate, authorize, verb_of
from formal_cluster_conformance.k8s.faults import Dropped, Faults, Request
from formal_cluster_conformance.k8s.lists import Lists
from formal_cluster_conformance.k8s.rbac import ADMINS, User
from formal_cluster_conformance.k8s.resources import target_of
from formal_cluster_conformance.k8s.statuses import Refusal
from formal_cluster_conformance.k8s.store import Store
from formal_cluster_conformance.k8s.validation import check_accept
from formal_cluster_conformance.k8s.watching import Watch
from formal_cluster_conformance.k8s.world import World
from formal_cluster_conformance.listener import listening

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
        port: Its port. Left and entered again, it has the same one.
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
        self._answers = Answers(self.store, Lists(self.store), self.tokens, bookmark_s)
        self.port = 0

    async def __aenter__(self) -> Self:
        context = None
        if self._https:
            context, self.ca_file = await asyncio.to_thread(
                tls.make_server_context, self._directory
            )
        # One for each time that it is entered: then it listens on the same port again.
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            assert runner.server is not None
            self.port = await stack.enter_async_context(
                listening(runner.server, context, self.port)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"{'https' if self._https else 'http'}://127.0.0.1:{self.port}"

    def world(self, namespace: str) -> World:
        """A namespace of its own, to put things into. An async context manager."""
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        return World(self.url, namespace, headers=headers, ssl_context=context)

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
        target = target_of(request.path)
        user = authenticate(request.headers, self.tokens)
        asked = Request(
            verb=verb_of(request.method, target, request.query),
            resource=target.resource.plural if target else request.path,
            namespace=target.namespace if target else None,
            name=target.name if target else None,
            subresource=target.subresource if target else None,
            query=dict(request.query),
            user=user.name if user else None,
        )
        self.requests.append(asked)
        try:
            _, target = authorize(user, asked, target, self.store)
            await self.faults.befall(asked)
            check_accept(request.headers.get("Accept"))
            answer = self._answers.answer(asked, target, await _body(request))
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        except Refusal as refusal:
            retry = refusal.retry_after
            headers = {} if retry is None else {"Retry-After": str(retry)}
            return web.json_response(refusal.status, status=refusal.code, headers=headers)
        if isinstance(answer, Watch):
            return await self._run(answer, request)
        return web.json_response(answer, status=201 if asked.verb == "create" else 200)

    async def _run(self, watch: Watch, request: web.Request) -> web.StreamResponse:
        self.watches.append(watch)
        try:
            return await watch.run(request)
        finally:
            self.watches.remove(watch)


async def _body(request: web.Request) -> Any:
    if not request.can_read_body:
        return None
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise Refusal(400, f"the body is no JSON: {error}") from error
