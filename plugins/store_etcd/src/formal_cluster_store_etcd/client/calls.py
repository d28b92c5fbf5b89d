"""Sends one request to an endpoint that serves, within one deadline.

Reads go to the next endpoint after any failure. Writes do so only when the failed attempt was
certainly not applied, and are never sent on a connection that is not known to be up: a deadline
that passes while connecting would say nothing about whether the write was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from formal_cluster import backoff
from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.endpoints import Link, Links
from formal_cluster_store_etcd.client.outcome import outcome

Method: TypeAlias = Callable[[Link], rpc.UnaryCall]

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.2
_CONNECT_S: Final = 1.0
_SHORTEST_ATTEMPT_S: Final = 0.05


class Calls:
    """Unary calls over all endpoints.

    Args:
        timeout_s: Longest time for a call with all its attempts.
        attempt_s: Longest time for one attempt at one endpoint.
    """

    def __init__(self, links: Links, *, timeout_s: float, attempt_s: float) -> None:
        self._links = links
        self._timeout_s = timeout_s
        self._attempt_s = attempt_s

    async def read(self, method: Method, request: rpc.Message) -> rpc.Message:
        """Send a request that may be repeated at will.

        Raises:
            Unavailable: No endpoint answered in time.
            StoreError: The request itself was refused.
        """
        return await self._send(method, request, write=False)

    async def write(self, method: Method, request: rpc.Message) -> rpc.Message:
        """Send a request whose repetition would matter.

        Raises:
            Unavailable: Certainly not applied.
            OutcomeUnknown: Perhaps applied.
            NotWritable: Refused until an operator acts.
            StoreError: The request itself was refused.
        """
        return await self._send(method, request, write=True)

    async def _send(self, method: Method, request: rpc.Message, *, write: bool) -> rpc.Message:
        deadline = time.monotonic() + self._timeout_s
        pauses = backoff.delays(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            for link in self._links.in_order():
                try:
                    return await self._attempt(link, method, request, deadline, write=write)
                except Unavailable as error:
                    self._links.suspect(link)
                    failure = error
                except OutcomeUnknown:
                    self._links.suspect(link)
                    raise
                if time.monotonic() >= deadline:
                    raise failure
            pause = next(pauses)
            if time.monotonic() + pause >= deadline:
                raise failure
            await asyncio.sleep(pause)

    async def _attempt(
        self, link: Link, method: Method, request: rpc.Message, deadline: float, *, write: bool
    ) -> rpc.Message:
        left = max(_SHORTEST_ATTEMPT_S, deadline - time.monotonic())
        if write and not link.ready:
            await link.probe(min(_CONNECT_S, left))
        with outcome(link.where, write=write):
            return await method(link)(
                request, timeout=min(self._attempt_s, left), metadata=rpc.REQUIRE_LEADER
            )
