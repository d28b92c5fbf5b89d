"""The way in: from memory, a snapshot or whatever the store still has to the newest record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

from formal_cluster.counters.archive import Archive
from formal_cluster.counters.fold import Gap, Record, State
from formal_cluster.counters.keys import LOG_ITSELF, Keys
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.loss import Present, why_moved
from formal_cluster.counters.losses import StoreLosses
from formal_cluster.counters.records import Batch, decode, encode
from formal_cluster.errors import Conflict, CountersError
from formal_cluster.model import EventKind
from formal_cluster.protocols import StateStore

_CLUSTER_CHECK_S = 1.0


class HistoryMissing(CountersError):
    """The store has discarded records that no snapshot holds yet."""


class StoreNamed(CountersError):
    """A store that answered before it knew its cluster has learned it. Nothing need be wrong."""


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
        self._losses = StoreLosses(ledger)
        self._store = store
        self._cluster: str | None = None
        self._keys = keys
        self._archive = archive
        self._patience_s = patience_s
        self._patience_ends: float | None = None
        self._logger = logger

    async def load(self, empty: Callable[[], State], *, intact: bool, oldest: int) -> None:
        """Bring the ledger as far as is possible without the history.

        Args:
            empty: Makes what to begin with if a snapshot is needed.
            intact: Whether the ledger has every record up to its revision already.
            oldest: The first revision known to be in the store's history; 0 if none is known.

        Raises:
            HistoryMissing: Records are in neither; try again.
            Gap: The store lost records; what is held is put aside, load anew.
            StoreError: The store did not answer.
            MalformedRecord: Another version wrote what is there.
        """
        known = self._ledger.state
        present = await self._check(await self._present(), oldest)
        if intact and known.revision + 1 >= oldest:
            self._go_on_from(known, life=present.life)
            return
        state = await self._archive.load(empty)
        if intact and known.revision > state.revision:
            state = known
        history_follows = state.revision + 1 >= oldest
        if history_follows and (state.revision or present.newest):
            # Without a snapshot there was none yet, so all of the history may be there.
            self._go_on_from(state, life=present.life)
            return
        beginning = present.beginning
        if self._ledger.held is not None and beginning is not None and beginning.revision >= oldest:
            # Only history from before the loss is gone. Nobody is left to make a snapshot of it;
            # what the instances remember, and what is left here, goes through the log again.
            self._losses.glean(empty(), state, present.newest, oldest)
            self._go_on_from(state, revision=oldest - 1, life=present.life)
            return
        if not state.reaches(present.newest):
            self._wait_for_snapshot(state.revision, oldest)
        self._go_on_from(state, present.newest, present.revision, life=present.life)

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
                    batch = ledger.decode(event.value)
                    ledger.fold(Record(writer, batch, event.revision))
                    if writer != ledger.writer:
                        saw_other(batch)
                if ledger.reached(update.revision):
                    updated()
        raise CountersError("the store ended the watch on the counter log; following it anew")

    async def watch_cluster(self) -> None:
        """Until `check_cluster` raises."""
        while True:
            await asyncio.sleep(_CLUSTER_CHECK_S)
            self.check_cluster()

    def check_cluster(self) -> None:
        """Make sure that the store is still the one loaded from.

        Raises:
            Gap: It is another cluster.
            StoreNamed: It said nothing of its cluster then; what is held has to be checked.
        """
        cluster = self._store.status().cluster_id
        if cluster in (None, self._cluster):
            return
        if self._cluster is None:
            raise StoreNamed(f"the store turns out to be cluster {cluster}")
        raise Gap(f"the store was cluster {self._cluster} and is {cluster}; reading the log anew")

    def _go_on_from(
        self, state: State, newest: Sequence[Record] = (), revision: int = 0, *, life: int
    ) -> None:
        self._patience_ends = None
        self._ledger.adopt(state, newest, revision, life=life)

    async def _present(self) -> Present:
        """What the store has of the log."""
        self._cluster = self._store.status().cluster_id
        listing = await self._store.list(self._keys.log)
        records = [
            Record(self._keys.writer_of(entry.key), decode(entry.value), entry.revision)
            for entry in sorted(listing.entries, key=lambda entry: entry.revision)
        ]
        return Present(records, listing.revision, self._cluster)

    async def _check(self, present: Present, oldest: int) -> Present:
        """Begin a new life of the log if the store has lost something; what is then present.

        Raises:
            Gap: It has, and either something is held, or what is known of its history is void.
        """
        ledger = self._ledger
        lost = self._losses.why_lost(present)
        moved = why_moved(present)
        if lost is None and moved is None:
            return present
        if moved is not None or present.life == ledger.life:
            await self._begin_life(present)
        if self._losses.put_aside() or oldest:
            raise Gap(
                f"the store may have lost counter records: {lost or moved}; reading the log anew"
            )
        return await self._present()

    async def _begin_life(self, present: Present) -> None:
        batch = self._losses.birth(present)
        beginning = present.beginning
        with contextlib.suppress(Conflict):  # another instance was faster
            await self._store.put(
                self._keys.writer(LOG_ITSELF),
                encode(batch),
                if_revision=beginning.revision if beginning is not None else 0,
            )

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
