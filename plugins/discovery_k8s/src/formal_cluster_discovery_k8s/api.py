"""Kubernetes for the event loop: every page of a list, and watches as streams of batches.

The client blocks, so each call has a thread for as long as it lasts; a cancelled one is given up
at once, and its thread ends as soon as its read does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_k8s.cache import Event, Listing
from formal_cluster_discovery_k8s.interrupts import Interrupt
from formal_cluster_discovery_k8s.mailbox import Mailbox
from formal_cluster_discovery_k8s.peers import Document
from formal_cluster_discovery_k8s.permissions import Permission
from formal_cluster_discovery_k8s.query import Query
from formal_cluster_discovery_k8s.refusals import Absent, Expired, NotAuthenticated
from formal_cluster_discovery_k8s.settings import K8sSettings
from formal_cluster_discovery_k8s.threads import Threads

if TYPE_CHECKING:
    from formal_cluster_discovery_k8s.sdk import KubernetesClient

T = TypeVar("T")

_THREADS = 8
_PAGE = 500
_EVENTS_WAITING = 1_000
_CLOSE_PATIENCE_S = 2.0


class KubernetesApi:
    """The few requests that discovery makes.

    Every method raises DiscoveryUnavailable, or DiscoveryError for what can never succeed.
    """

    def __init__(self, settings: K8sSettings) -> None:
        self._settings = settings
        self._threads = Threads(_THREADS)
        self._client: KubernetesClient | None = None
        self._connecting = asyncio.Lock()

    async def namespace(self) -> str | None:
        """The namespace of the kubeconfig's current context."""
        client = await self._connected()
        return await self._threads.run(lambda _: client.namespace())

    async def list_all(self, query: Query) -> Listing:
        """All objects, as of one version at least as new as the call."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                try:
                    return await self._list(query, _PAGE)
                except Expired:
                    # It changed faster than its pages were read: then all of it in one.
                    return await self._list(query, None)
        except TimeoutError:
            raise DiscoveryUnavailable(
                f"listing {query} took more than {self._settings.timeout:g} s; it is tried again. "
                "If this lasts, raise discovery.k8s.timeout"
            ) from None

    async def read(
        self, permission: Permission, namespace: str | None, name: str
    ) -> Document | None:
        """One object; None if there is none of that name."""
        client = await self._connected()
        try:
            return await self._run(partial(client.read, permission, namespace, name))
        except Absent:
            return None

    async def watch(
        self, query: Query, version: str, seconds: int
    ) -> AsyncGenerator[list[Event], None]:
        """The changes after `version`, in order, until the server ends the watch.

        Raises:
            Expired: The history from `version` on is gone; list again.
        """
        client = await self._connected()
        mailbox: Mailbox[Document] = Mailbox(_EVENTS_WAITING)
        call = partial(client.watch, query, version, seconds, mailbox.put)
        reading = asyncio.create_task(self._threads.run(call))
        reading.add_done_callback(lambda _: mailbox.wake())
        try:
            while True:
                await mailbox.wait()
                has_ended = reading.done()
                if documents := mailbox.take():
                    yield [Event(document["type"], document["object"]) for document in documents]
                if has_ended:
                    reading.result()
                    return
        finally:
            mailbox.close()
            reading.cancel()
            await asyncio.wait([reading])

    async def aclose(self) -> None:
        """Give up what is under way, and close connections."""
        await self._threads.aclose(_CLOSE_PATIENCE_S)
        if self._client is not None:
            self._client.close()

    async def _list(self, query: Query, limit: int | None) -> Listing:
        client = await self._connected()
        items: list[Document] = []
        token: str | None = None
        while True:
            page = await self._run(partial(client.list_page, query, limit, token))
            items += page.get("items") or ()  # an empty list may be written as null
            metadata = page["metadata"]
            token = metadata.get("continue")
            if not token:
                return Listing(tuple(items), metadata["resourceVersion"])

    async def _run(self, call: Callable[[Interrupt], T]) -> T:
        try:
            return await self._threads.run(call)
        except NotAuthenticated:
            # The token may have been replaced since it was read. The client reads it again.
            return await self._threads.run(call)

    async def _connected(self) -> KubernetesClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._threads.run(self._connect)
            return self._client

    def _connect(self, _: Interrupt) -> KubernetesClient:
        from formal_cluster_discovery_k8s.sdk import KubernetesClient

        return KubernetesClient(self._settings)
