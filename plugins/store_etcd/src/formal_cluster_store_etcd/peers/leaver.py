"""Waits, when this instance leaves for good, until the others have taken over; see `leaving`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.journal import Book, Journal
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.since import Since
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.planning.leaving import Farewell, Go, plan
from formal_cluster_store_etcd.planning.presence import Presence

_TICK_S: Final = 0.1
_LOOK_S: Final = 1.0
_LINGER_S: Final = 0.3


class Leaver:
    """Decides when this instance may stop.

    Args:
        read: This instance's presence, which changes when its data has been set aside.
        grace_s: How long it may take.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        client: EtcdClient,
        watch: ClusterWatch,
        read: Callable[[], Presence | None],
        grace_s: float,
        logger: logging.Logger,
        book: Book,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._watch = watch
        self._read = read
        self._grace_s = grace_s
        self._journal = Journal(logger, "leaving", book)
        self._clock = clock
        self._presences: tuple[Presence, ...] = ()

    async def wait(self) -> Go:
        """Return when there is nothing more to wait for. The presence must say `draining`."""
        own = self._watch.own()
        member, began = own.name if own is not None else None, self._clock()
        removed: Since[str | None] = Since(self._clock)
        while True:
            listed = {m.name for m in self._watch.seen.members}
            present = self._read()
            step = plan(
                Farewell(
                    member=member,
                    members=self._watch.seen.members,
                    presences=self._presences,
                    ended=present is None or present.member != member,
                    silent_s=self._watch.stale_s,
                    waited_s=self._clock() - began,
                    removed_s=removed.update({member} - listed).get(member, 0.0),
                    grace_s=self._grace_s,
                )
            )
            self._journal.write(step, step.evidence)
            if isinstance(step, Go):
                if step.together:
                    # The others have to see it too while there is a quorum to ask.
                    await asyncio.sleep(_LINGER_S)
                return step
            await asyncio.gather(self._look(), asyncio.sleep(_TICK_S))

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._watch.look()
                entries = (await self._client.list(presence.PREFIX)).entries
        except (StoreError, TimeoutError):
            return  # how long that has been so is what `stale_s` says
        self._presences = presence.read(entries)
