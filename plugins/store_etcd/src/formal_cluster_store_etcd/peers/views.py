"""The latest discovery view: fetched not too often, never trusted when it fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import DiscoveryError
from formal_cluster.model import InstanceState, View
from formal_cluster.protocols import Discovery

_INTERVAL_S: Final = 2.0
_ANSWER_S: Final = 10.0


class Views:
    """Asks discovery, at most every two seconds.

    Args:
        own_id: The instance that a usable view must name.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        discovery: Discovery,
        own_id: str,
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._discovery = discovery
        self._own_id = own_id
        self._logger = logger
        self._clock = clock
        self._view: View | None = None
        self._asked_at = float("-inf")
        self._same_since = clock()
        self._lock = asyncio.Lock()

    @property
    def stable_s(self) -> float:
        """How long the views have named the same instances, those that stopped left out."""
        return self._clock() - self._same_since

    async def latest(self) -> View | None:
        """A view at most two seconds old that names this instance; None if there is none."""
        async with self._lock:
            if self._clock() - self._asked_at >= _INTERVAL_S:
                self._accept(await self._ask())
                self._asked_at = self._clock()
            return self._view

    def _accept(self, view: View | None) -> None:
        if _named(view) != _named(self._view):
            self._same_since = self._clock()
        self._view = view

    async def _ask(self) -> View | None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                view = await self._discovery.discover()
        except (DiscoveryError, TimeoutError) as error:
            self._logger.warning("discovery gave no answer", extra={"error": str(error)})
            return None
        if self._own_id not in {instance.id for instance in view.instances}:
            self._logger.warning(
                "discovery does not name this instance",
                extra={"instance": self._own_id, "named": [i.id for i in view.instances]},
            )
            return None
        return view


def _named(view: View | None) -> frozenset[str] | None:
    if view is None:
        return None
    return frozenset(i.id for i in view.instances if i.state is not InstanceState.STOPPED)
