"""Makes a snapshot now and then, on whichever instance comes first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from formal_cluster.counters.archive import Archive
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.losses import StoreLosses
from formal_cluster.errors import StoreError

_FIRST_OF_A_LIFE_S: Final = 1.0


class Snapshotter:
    """Saves the ledger's state if the log has moved and nobody else has saved it meanwhile.

    A log's new life gets its first snapshot soon: a restored store may have no history, so that
    starters have nothing else to begin with.
    """

    def __init__(
        self,
        ledger: Ledger,
        archive: Archive,
        *,
        interval_s: float,
        jitter: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        self._ledger = ledger
        self._losses = StoreLosses(ledger)
        self._archive = archive
        self._interval_s = interval_s
        self._jitter = jitter
        self._logger = logger
        self._seen_head = 0
        self._life_seen = 0

    async def run(self, caught_up: asyncio.Event) -> None:
        """Go on until cancelled.

        Raises:
            MalformedRecord: Another version made the present snapshot.
        """
        await caught_up.wait()
        while True:
            interval_s = self._interval_s
            if self._ledger.life != self._life_seen:
                interval_s = min(interval_s, _FIRST_OF_A_LIFE_S)
            # Instances started together drift apart, so that one of them comes first.
            await asyncio.sleep(interval_s * (1 + self._jitter() / 2))
            try:
                await self.save_if_due()
            except StoreError as error:
                self._logger.warning(
                    "no snapshot of the counters could be made; trying again later",
                    extra={"error": str(error)},
                )

    async def save_if_due(self) -> bool:
        """Make a snapshot unless there is a new one already; whether one was made.

        Raises:
            StoreError: The store did not answer.
            MalformedRecord: As in `run`.
        """
        head, head_revision = await self._archive.head()
        if head is None or head.revision < self._losses.life_began:
            self._seen_head = head_revision
        else:
            self._life_seen = self._ledger.life
        if head_revision != self._seen_head:
            self._seen_head = head_revision
            return False
        if not self._losses.settled():
            return False  # a joiner would not know from it who is awaited
        frozen = self._ledger.freeze()
        try:
            newest = max((at.revision for at in frozen.writers.values()), default=0)
            if newest <= (head.revision if head else 0):
                return False
            saved = await self._archive.save(frozen, head, head_revision)
        finally:
            self._ledger.thaw()
        if saved:
            _, self._seen_head = await self._archive.head()
            await self._archive.delete_silent_writers(frozen, own=self._ledger.writer)
            self._logger.debug("made a counter snapshot", extra={"revision": frozen.revision})
        return saved
