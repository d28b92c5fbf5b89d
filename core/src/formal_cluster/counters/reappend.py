"""Puts back into the log what this instance remembers from before a store loss."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from formal_cluster.counters.held import Held
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.load import Remembrance
from formal_cluster.counters.losses import StoreLosses
from formal_cluster.counters.records import Memory, Row

_ROWS = 1_024
"""Rows in one batch."""
_MOST_NUMBERS = 8_192
"""Times and counts after which a batch has enough, whatever its number of rows."""
_LOOKS_PER_TURN = 256
"""Subjects compared before the event loop gets its turn."""


class Reappender:
    """One batch at a time, each made of what the log lacks when it is its turn."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        jitter: Callable[[], float],
        wake_writer: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        self._ledger = ledger
        self._losses = StoreLosses(ledger)
        self._jitter = jitter
        self._wake_writer = wake_writer
        self._logger = logger

    async def run(self, caught_up: asyncio.Event) -> None:
        """Put everything back that the log lacks, if anything is held, then return.

        It begins anew with each session, and finds what it had put back already.
        """
        await caught_up.wait()
        held = self._ledger.held
        if held is None:
            return
        began, count = time.monotonic(), 0
        self._losses.ask_windows_of(held)
        rows: list[Row] = []
        numbers = 0
        for looks, row in enumerate(held.rows(self._ledger.state, self._jitter())):
            if row is not None:
                rows.append(row)
                numbers += len(row.counts)
            if len(rows) >= _ROWS or numbers >= _MOST_NUMBERS:
                await self._append(held, rows, more=True)
                count += len(rows)
                rows, numbers = [], 0
            elif looks % _LOOKS_PER_TURN == 0:
                await asyncio.sleep(0)
        await self._append(held, rows, more=False)
        self._losses.forget_held(held)
        self._logger.warning(
            "the log has again what this instance remembered of it",
            extra={
                "subjects": count + len(rows),
                "seconds": round(time.monotonic() - began, 3),
            },
        )

    async def _append(self, held: Held, rows: list[Row], *, more: bool) -> None:
        """Until the rows have come back out of the log."""
        memory = Memory(life=self._ledger.life, more=more, until=held.until, rows=rows)
        folded = asyncio.get_running_loop().create_future()
        self._losses.remind(Remembrance(memory, folded))
        self._wake_writer()
        await folded
