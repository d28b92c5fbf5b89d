"""One watch: a chunked answer with a line for each change, as long as the client listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from formal_cluster_conformance.k8s.resources import Document, Target
from formal_cluster_conformance.k8s.selectors import Predicate
from formal_cluster_conformance.k8s.statuses import Refusal
from formal_cluster_conformance.k8s.store import Change, Store


class Watch:
    """A watch under way. `stall`, `drop` and `fail` disturb it, as networks and servers do.

    Args:
        after: The version that the client has seen; None to begin with all that is there.
        seconds: How long it lasts.
        bookmark_s: Seconds between bookmarks; None for no bookmarks.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        selects: Predicate,
        *,
        after: int | None,
        seconds: float,
        bookmark_s: float | None,
    ) -> None:
        self.target = target
        self._store = store
        self._selects = selects
        self._after = after
        self._seconds = seconds
        self._bookmark_s = bookmark_s
        self._stalled = False
        self._failure: Refusal | None = None
        self._request: web.Request | None = None

    def stall(self) -> None:
        """Say nothing any more, and keep the connection open."""
        self._stalled = True

    def drop(self) -> None:
        """Cut the connection."""
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()

    def fail(self, code: int, message: str = "injected") -> None:
        """Send an ERROR event, and end the watch."""
        self._failure = Refusal(code, message)
        self._store.poke()

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Answer the request."""
        self._request = request
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async with asyncio.timeout(self._seconds):
                await self._follow(response)
        except TimeoutError:
            if self._bookmark_s is not None:
                await self._send(response, "BOOKMARK", self._bookmark())
        except Refusal as refusal:
            await self._send(response, "ERROR", refusal.status)
        return response

    async def _follow(self, response: web.StreamResponse) -> None:
        if self._after is None:
            self._after = self._store.version
            for document in self._store.list(self.target.resource, self.target.namespace):
                if self._selects(document):
                    await self._send(response, "ADDED", document)
        while True:
            news = self._store.news
            if self._failure is not None:
                raise self._failure
            version = self._store.version
            for kind, document in self._changes():
                await self._send(response, kind, document)
            self._after = version
            try:
                async with asyncio.timeout(self._bookmark_s):
                    await news.wait()
            except TimeoutError:
                await self._send(response, "BOOKMARK", self._bookmark())

    def _changes(self) -> Iterator[tuple[str, Document]]:
        assert self._after is not None
        for change in list(self._store.changes(self._after, self.target)):
            event = _event(change, self._selects)
            if event is not None:
                yield event

    def _bookmark(self) -> Document:
        resource = self.target.resource
        metadata = {"resourceVersion": str(self._after), "creationTimestamp": None}
        return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}

    async def _send(self, response: web.StreamResponse, kind: str, document: Document) -> None:
        if self._stalled:
            await asyncio.Event().wait()
        with suppress(ConnectionError):
            await response.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")


def _event(change: Change, selects: Predicate) -> tuple[str, Document] | None:
    """What a watch says of a change: an object that stops to match is DELETED to it."""
    was = change.before is not None and selects(change.before)
    now = change.after is not None and selects(change.after)
    if now:
        assert change.after is not None
        return ("MODIFIED" if was else "ADDED"), change.after
    if was:
        assert change.before is not None
        metadata: dict[str, Any] = {**change.before["metadata"]}
        metadata["resourceVersion"] = str(change.version)
        return "DELETED", {**change.before, "metadata": metadata}
    return None
