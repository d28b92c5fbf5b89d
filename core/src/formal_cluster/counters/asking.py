"""How a starter asks for log time, whom it waits for, and when it gives up. See `clock`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Collection
from typing import Final

from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.timekeeping import Timekeeping
from formal_cluster.errors import StoreError
from formal_cluster.model import Capability
from formal_cluster.protocols import PresenceStore, StateStore

FIRST_WAIT_S: Final = 2.0
_LONGEST_WAIT_S: Final = 30.0
_UNTOLD_WAITS: Final = 3
"""How often is asked where the store cannot tell who is there: 2, 4 and 8 s."""


def awaited(own: str, present: Collection[str], asking: Collection[str]) -> list[str]:
    """Of the instances that are there, those that may know the time: they have not asked for it."""
    return sorted(set(present) - set(asking) - {own})


class Asker:
    """Asks until somebody answers, or until nobody is there who could."""

    def __init__(
        self,
        ledger: Ledger,
        timekeeping: Timekeeping,
        store: StateStore,
        *,
        append_opening: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        """
        Args:
            append_opening: Has the writer begin another epoch, which asks again, or says that
                nobody was there if the ledger says so.
        """
        self._ledger = ledger
        self._timekeeping = timekeeping
        self._store = store
        self._append_opening = append_opening
        self._logger = logger
        self._question_is_in_the_log = asyncio.Event()
        self.problem: str | None = None
        """Why the time is not known yet, with the mend."""

    def note(self) -> None:
        """A record was folded."""
        if self._ledger.catch_up.asking:
            self._question_is_in_the_log.set()

    async def run(self, caught_up: asyncio.Event) -> None:
        """Return when the time is known. One session."""
        self.problem = None
        self._question_is_in_the_log.clear()
        await self._question_is_in_the_log.wait()
        wait_s = FIRST_WAIT_S
        for waits in itertools.count(1):
            if await _is_set_within(wait_s, caught_up):
                self.problem = None
                return
            await self._give_up_if_alone(waits)
            self._append_opening()
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _give_up_if_alone(self, waits: int) -> None:
        store = self._store
        present: frozenset[str] | None = None
        if isinstance(store, PresenceStore):
            try:
                present = await store.present()
            except StoreError as error:
                self._logger.debug("who is there cannot be told", extra={"error": str(error)})
                return
            silent = awaited(self._ledger.writer, present, self._timekeeping.asking())
            if silent:
                self._wait_for(", ".join(silent))
                return
        elif Capability.SHARED in store.capabilities and waits < _UNTOLD_WAITS:
            self._wait_for("instances that may be there")
            return
        self.problem = None
        self._timekeeping.nobody_answered(present)
        self._logger.warning(
            "nobody who knows the counters' time is there; it goes on by the wall clocks of those "
            "who have just started"
        )

    def _wait_for(self, whom: str) -> None:
        problem = (
            f"this instance has asked for the counters' time and waits for {whom}; it asks again. "
            "If this lasts, see why they do not follow the counter log, or restart them"
        )
        if problem != self.problem:
            self._logger.warning(problem)
        self.problem = problem


async def _is_set_within(seconds: float, event: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
