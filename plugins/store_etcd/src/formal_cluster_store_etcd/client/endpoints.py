"""Which endpoints there are, one connection to each, and which to ask first.

The order is the caller's, except that an endpoint that failed is *suspect* and comes last until it
has proven, by answering a linearizable read, that it reaches a quorum again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Final

from formal_cluster import backoff
from formal_cluster.errors import StoreError, Unavailable
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.outcome import outcome
from formal_cluster_store_etcd.urls import Endpoint

_PROBE_TIMEOUT_S: Final = 1.0
_DRAIN_S: Final = 2.0
PROBE: Final = rpc.RangeRequest(key=b"\0", count_only=True)
"""A linearizable read of nothing."""


class Link:
    """One endpoint's connection, made when it is first used, and the stubs on it."""

    __slots__ = ("_channel", "endpoint", "kv", "lease", "watch", "where")

    def __init__(self, endpoint: Endpoint, tls: rpc.TlsMaterial | None) -> None:
        self.endpoint = endpoint
        self.where = str(endpoint)
        self._channel = rpc.open_channel(self.where, tls)
        self.kv = rpc.KVStub(self._channel)
        self.lease = rpc.LeaseStub(self._channel)
        self.watch = rpc.WatchStub(self._channel)

    @property
    def ready(self) -> bool:
        """Whether there is a connection to send on."""
        return rpc.is_ready(self._channel)

    async def probe(self, timeout_s: float = _PROBE_TIMEOUT_S) -> rpc.Message:
        """Ask for nothing, linearizably; the response header of a member that has a quorum.

        Raises:
            Unavailable: It has none, or did not answer in time.
            StoreError: What answers there is not an etcd that would serve us.
        """
        with outcome(self.where, write=False):
            response = await self.kv.Range(PROBE, timeout=timeout_s, metadata=rpc.REQUIRE_LEADER)
        return response.header

    async def close(self, grace_s: float | None = None) -> None:
        """Close the connection, after the calls under way have ended or `grace_s` has passed."""
        try:
            await self._channel.close(grace_s)
        except asyncio.CancelledError:
            await self._channel.close(None)
            raise


class Links:
    """The connections to all known endpoints, best first."""

    def __init__(self, tls: rpc.TlsMaterial | None = None) -> None:
        self._tls = tls
        self._endpoints: tuple[Endpoint, ...] = ()
        self._links: dict[Endpoint, Link] = {}
        self._suspects: set[Endpoint] = set()
        self._ordered: tuple[Link, ...] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints as they were set."""
        return self._endpoints

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closed

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Replace the endpoints, preferred one first. Connections to those that stay are kept;
        calls under way on others get a moment to end, watches there move on after it."""
        self._endpoints = tuple(dict.fromkeys(endpoints))
        self._ordered = None
        self._suspects.intersection_update(self._endpoints)
        for endpoint in self._links.keys() - set(self._endpoints):
            self.in_background(self._links.pop(endpoint).close(_DRAIN_S))

    def set_tls(self, tls: rpc.TlsMaterial | None) -> None:
        """Connect with this from now on. Connections made before are treated as those to endpoints
        that `set_endpoints` has dropped."""
        if tls == self._tls:
            return
        self._tls = tls
        self._ordered = None
        self._suspects.clear()
        links, self._links = tuple(self._links.values()), {}
        for link in links:
            self.in_background(link.close(_DRAIN_S))

    def in_order(self) -> tuple[Link, ...]:
        """The connections in the order to try them; suspects last. Never empty.

        Raises:
            Unavailable: There is no endpoint, or `aclose` was called.
        """
        if self._ordered is None:
            self._ordered = self._in_order()
        return self._ordered

    def suspect(self, link: Link) -> None:
        """Prefer other endpoints until this one has proven that it serves."""
        endpoint = link.endpoint
        if self._links.get(endpoint) is not link or endpoint in self._suspects:
            return
        self._suspects.add(endpoint)
        self._ordered = None
        self.in_background(self._await_recovery(link))

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` beside the caller; `aclose` cancels what is left of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Cut all calls and watches and close every connection. Idempotent."""
        self._closed = True
        self._ordered = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        links, self._links = tuple(self._links.values()), {}
        for link in links:
            await link.close()

    def _in_order(self) -> tuple[Link, ...]:
        if self._closed:
            raise Unavailable("the etcd client is closed")
        if not self._endpoints:
            raise Unavailable("no etcd endpoint is known yet; discovery or formation will set them")
        for endpoint in self._endpoints:
            if endpoint not in self._links:
                self._links[endpoint] = Link(endpoint, self._tls)
        ranked = sorted(self._endpoints, key=self._suspects.__contains__)
        return tuple(self._links[endpoint] for endpoint in ranked)

    async def _await_recovery(self, link: Link) -> None:
        for delay in backoff.delays(0.1, 1.0):
            await asyncio.sleep(delay)
            if self._links.get(link.endpoint) is not link:
                return
            with contextlib.suppress(StoreError):
                await link.probe()
                self._suspects.discard(link.endpoint)
                self._ordered = None
                return
