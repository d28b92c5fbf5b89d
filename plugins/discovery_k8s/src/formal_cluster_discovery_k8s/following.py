"""List, then watch from there, for good: what keeps the cache up to date.

A watch ends all the time: the server closes it after a while, a proxy cuts it, the history that it
wants to go on from is compacted. Each end is followed by a new watch from the last version seen,
or, when that is gone (410), by a new list. Failures back off; what the server asks for with
Retry-After is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from random import Random, SystemRandom

from formal_cluster.discovery.health_log import HealthLog
from formal_cluster.discovery.polling import Backoff, jittered
from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_k8s.api import KubernetesApi
from formal_cluster_discovery_k8s.cache import Cache
from formal_cluster_discovery_k8s.query import Query
from formal_cluster_discovery_k8s.refusals import Expired, Refused

BACKOFF = Backoff(first=0.2)
_SPREAD = 0.2


class Follower:
    """Follows one query.

    Args:
        watch_seconds: After about so many seconds a watch is renewed. Spread, so that a hundred
            instances that started together do not renew theirs together for good.
    """

    def __init__(
        self,
        api: KubernetesApi,
        query: Query,
        cache: Cache,
        *,
        watch_seconds: int,
        logger: logging.Logger,
        rng: Random | None = None,
    ) -> None:
        self._api = api
        self._query = query
        self._cache = cache
        self._watch_seconds = watch_seconds
        self._health = HealthLog(logger, "kubernetes")
        self._rng = rng or SystemRandom()
        self._version: str | None = None
        self._failures = 0

    async def run(self, changed: Callable[[], None]) -> None:
        """Never returns. Calls `changed` when the cache may say something new.

        Raises:
            DiscoveryError: What is asked for can never be had.
        """
        while True:
            wait = 0.0
            try:
                if self._version is None:
                    await self._list(changed)
                if not await self._watch(changed):
                    self._failures += 1
            except Expired:
                self._version = None
                self._failures += 1
            except DiscoveryUnavailable as error:
                self._failures += 1
                # A watch that breaks once is an everyday matter: proxies cut those that are quiet.
                if self._version is None or self._failures > 1:
                    self._health.failed(str(error))
                wait = error.retry_after_s if isinstance(error, Refused) else 0.0
            if self._failures:
                wait = max(wait, BACKOFF.after(self._failures))
                await asyncio.sleep(jittered(wait, self._rng))

    async def _list(self, changed: Callable[[], None]) -> None:
        listing = await self._api.list_all(self._query)
        self._version = listing.version
        self._cache.replace(listing, asyncio.get_running_loop().time())
        self._health.answered()
        changed()

    async def _watch(self, changed: Callable[[], None]) -> bool:
        """Whether the watch said anything before it ended. One that never does is broken."""
        assert self._version is not None
        clock = asyncio.get_running_loop().time
        seconds = round(self._watch_seconds * self._rng.uniform(1 - _SPREAD, 1 + _SPREAD))
        has_spoken = False
        async with aclosing(self._api.watch(self._query, self._version, max(1, seconds))) as watch:
            async for batch in watch:
                for event in batch:
                    self._cache.fold(event, clock())
                self._version = batch[-1].version
                self._failures = 0
                has_spoken = True
                self._health.answered()
                changed()
        return has_spoken
