"""The decision journal: each step of a planner with its evidence and what became of it.

It is logged as it happens, and the last ones are kept in memory for `status --journal`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from formal_cluster.protocols import JournalEntry

_KEPT: Final = 200
_WAIT: Final = "Wait"
DRY_RUN: Final = "store.etcd.dry_run is set"


class Book:
    """The last entries of all planners of an instance, oldest first.

    Args:
        clock: Seconds since the Unix epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[int, JournalEntry] = {}
        self._next = 0

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """What is kept of it."""
        return tuple(self._entries.values())

    def add(self, planner: str, step: str, evidence: str) -> int:
        """Note a decision; the entry's number, for `amend` and `drop`."""
        self._next += 1
        self._entries[self._next] = JournalEntry(self._clock(), planner, step, evidence)
        if len(self._entries) > _KEPT:
            del self._entries[next(iter(self._entries))]
        return self._next

    def amend(self, number: int, outcome: str) -> None:
        """Note what became of it, if it is still kept."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], outcome=outcome)

    def drop(self, number: int) -> None:
        """Forget an entry that has been overtaken."""
        self._entries.pop(number, None)


class Journal:
    """Writes the steps of one planner. A step that is decided again and again is written once, and
    of reasons to wait that follow each other only the last one is kept.

    Args:
        planner: Its name in the log lines.
        book: Where the entries are kept.
    """

    def __init__(self, logger: logging.Logger, planner: str, book: Book) -> None:
        self._logger = logger
        self._planner = planner
        self._book = book
        self._last: tuple[str, str] | None = None
        self._last_refusal: str | None = None
        self._number = 0

    def write(self, step: object, evidence: str) -> None:
        """A step has been decided."""
        name = type(step).__name__
        if (name, evidence) == self._last:
            return
        if name == _WAIT and self._last is not None and self._last[0] == _WAIT:
            self._book.drop(self._number)
        self._last, self._last_refusal = (name, evidence), None
        self._number = self._book.add(self._planner, name, evidence)
        level = logging.DEBUG if name == _WAIT else logging.INFO
        self._logger.log(
            level,
            "cluster decision",
            extra={"planner": self._planner, "step": name, "evidence": evidence},
        )

    def done(self) -> None:
        """The step has been carried out."""
        self._book.amend(self._number, "done")

    def refused(self, reason: str) -> None:
        """The step could not be carried out; it will be decided anew."""
        if reason != self._last_refusal:
            self._last_refusal = reason
            self._book.amend(self._number, f"not carried out: {reason}")
            self._logger.info(
                "cluster decision not carried out",
                extra={"planner": self._planner, "reason": reason},
            )
