"""The store's heartbeat: asks how the server is, and deletes what has run out, at its time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError, Unavailable
from formal_cluster_store_redis_test.calls import Calls
from formal_cluster_store_redis_test.errors_map import Refused
from formal_cluster_store_redis_test.knowledge import Knowledge
from formal_cluster_store_redis_test.link import Answered, Lost
from formal_cluster_store_redis_test.links import Links
from formal_cluster_store_redis_test.scripts import STATE, WRITABLE
from formal_cluster_store_redis_test.vetting import Unfit

_BEAT_S: Final = 0.5
_SHORTEST_S: Final = 0.002
_VET_EVERY: Final = 10
"""Beats after which the server is vetted anew: its settings may be changed while it runs."""


class Pulse:
    """Follows one server; `run` until cancelled."""

    def __init__(
        self, links: Links, calls: Calls, knowledge: Knowledge, logger: logging.Logger
    ) -> None:
        self._links = links
        self._calls = calls
        self._knowledge = knowledge
        self._logger = logger
        self._bell = asyncio.Event()

    def ring(self, after_s: float) -> None:
        """A key was written that runs out after so many seconds."""
        if after_s < _BEAT_S:
            asyncio.get_running_loop().call_later(after_s, self._bell.set)

    async def run(self) -> None:
        """Beat until cancelled."""
        beat = 0
        while True:
            beat += 1
            wait = _BEAT_S
            self._bell.clear()
            try:
                if beat % _VET_EVERY == 0:
                    await self._vet()
                wait = await self._look()
                await self._sweep()
            except StoreError as error:
                self._knowledge.failed(str(error), refused=isinstance(error, Refused))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_SHORTEST_S, wait)):
                    await self._bell.wait()

    async def _look(self) -> float:
        """Seconds until there is something to do."""
        revision, _, left_us = await self._calls.read(STATE, "")
        if self._knowledge.cluster is not None:
            self._knowledge.answered(self._knowledge.cluster, revision)
        try:
            await self._calls.write(WRITABLE)
        except NotWritable as refusal:
            self._knowledge.writable(str(refusal))
        except OutcomeUnknown as error:
            raise Unavailable(str(error)) from error
        else:
            self._knowledge.writable(None)
        return _BEAT_S if left_us < 0 else min(_BEAT_S, left_us / 1_000_000)

    async def _sweep(self) -> None:
        try:
            await self._calls.sweep()
        except Unavailable:
            if self._knowledge.unwritable is None:
                raise

    async def _vet(self) -> None:
        async with self._links.lent() as link:
            try:
                await self._links.vet(link)
            except Unfit as why:
                await link.close()
                await self._links.hang_up_idle()
                raise Refused(f"Redis at {self._links.where}: {why}") from why
            except (Lost, Answered) as error:
                await link.close()
                raise Unavailable(f"Redis at {self._links.where}: {error}") from error
