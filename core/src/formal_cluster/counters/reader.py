"""The way in: from memory, a snapshot or whatever the store still has to the newest record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

from formal_cluster.counters.archive import Archive
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.keys import Keys
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.records import Batch, decode
from formal_cluster.errors import CountersError
from formal_cluster.model import EventKind
from formal_cluster.protocols import StateStore


class HistoryMissing(CountersError):
    """The store has discarded records that no snapshot holds yet."""


class LogReader:
    """Brings a ledger to where the log is, and keeps it there."""

    def __init__(
        self,
        ledger: Ledger,
        store: StateStore,
        keys: Keys,
        archive: Archive,
        *,
        patience_s: float,
        logger: logging.Logger,
    ) -> None:
        """
        Args:
            patience_s: How long to wait for a snapshot with records that the store has discarded.
                Any instance that has them makes one soon.
        """
        self._ledger = ledger
        self._store = store
        self._keys = keys
        self._archive = archive
        self._patience_s = patience_s
        self._patience_ends: float | None = None
        self._logger = logger

    async def load(self, empty: State, *, intact: bool, oldest: int) -> None:
        """Bring the ledger as far as is possible without the history.

        Args:
            empty: What to begin with if a snapshot is needed.
            intact: Whether the ledger has every record up to its revision already.
            oldest: The first revision known to be in the store's history; 0 if none is known.

        Raises:
            HistoryMissing: Records are in neither; try again.
            StoreError: The store did not answer.
            MalformedRecord: Another version wrote what is there.
        """
        known = self._ledger.state
        if intact and known.revision + 1 >= oldest:
            self._go_on_from(known)
            return
        state = empty
        await self._archive.load(state)
        if intact and known.revision > state.revision:
            state = known
        history_follows = state.revision + 1 >= oldest
        if state.revision and history_follows:
            self._go_on_from(state)
            return
        newest, revision = await self._newest_records()
        if newest and history_follows:
            # There is no snapshot yet, so all of the history may be there.
            self._go_on_from(state)
            return
        if not state.reaches(newest):
            self._wait_for_snapshot(state.revision, oldest)
        self._go_on_from(state, newest, revision)

    async def follow(self, updated: Callable[[], None], saw_other: Callable[[Batch], None]) -> None:
        """Fold every further record, until cancelled.

        Args:
            updated: Called after each update that is not behind what is folded already.
            saw_other: Called after each batch of another writer.

        Raises:
            Compacted: The history needed is gone; load again.
            Gap: Records were missed; load again, from a snapshot.
            MalformedRecord: Another version writes to the log.
        """
        ledger = self._ledger
        updates = self._store.watch(self._keys.log, from_revision=ledger.state.revision + 1)
        async with aclosing(updates):
            async for update in updates:
                for event in update.events:
                    writer = self._keys.writer_of(event.key)
                    if event.kind is EventKind.DELETE:
                        ledger.forget(writer, event.revision)
                        continue
                    batch = decode(event.value)
                    ledger.fold(Record(writer, batch, event.revision))
                    if writer != ledger.writer:
                        saw_other(batch)
                if ledger.reached(update.revision):
                    updated()
        raise CountersError("the store ended the watch on the counter log; following it anew")

    def _go_on_from(self, state: State, newest: Sequence[Record] = (), revision: int = 0) -> None:
        self._patience_ends = None
        self._ledger.adopt(state, newest, revision)

    async def _newest_records(self) -> tuple[list[Record], int]:
        """Each writer's newest record in order, and the revision of this being so."""
        listing = await self._store.list(self._keys.log)
        records = [
            Record(self._keys.writer_of(entry.key), decode(entry.value), entry.revision)
            for entry in sorted(listing.entries, key=lambda entry: entry.revision)
        ]
        return records, listing.revision

    def _wait_for_snapshot(self, revision: int, oldest: int) -> None:
        """Raise until patience ends, then say what is lost."""
        if self._patience_ends is None:
            self._patience_ends = time.monotonic() + self._patience_s
        if time.monotonic() < self._patience_ends:
            raise HistoryMissing(
                f"the store has discarded the counter log before revision {oldest} and the newest "
                f"snapshot is of {revision}; waiting for another instance to make one"
            )
        self._logger.error(
            "the store has discarded counter records that no snapshot holds; counts from before "
            "may be too small. Keep more history, or make snapshots more often",
            extra={"snapshot_revision": revision, "oldest_revision": oldest},
        )
