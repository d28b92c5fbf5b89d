"""The group-committing writer: appends what the ledger has pending, one batch at a time.

Everything that arrives while a batch is under way goes into the next one. The writer owns one key
and overwrites it, each time only if it still holds the writer's last batch. So a batch whose answer
was lost can be sent again under the same sequence number: it is applied once or not at all. A batch
is done when it has come back out of the log, whatever the store answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable

from formal_cluster.counters.fold import Gap
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.load import Load
from formal_cluster.counters.pacing import batch_interval_s, retries_s
from formal_cluster.counters.records import decode, encode
from formal_cluster.errors import (
    Conflict,
    CountersError,
    NotWritable,
    OutcomeUnknown,
    StoreError,
    Unavailable,
)
from formal_cluster.protocols import StateStore


class KeyLost(CountersError):
    """This instance's key in the log does not hold what this instance wrote."""


class LogWriter:
    """Appends batches under one key. `run` is one session; a new one begins a new epoch."""

    def __init__(
        self,
        ledger: Ledger,
        store: StateStore,
        key: bytes,
        *,
        check_cluster: Callable[[], None],
        flush_interval_s: float,
        write_budget: float,
        jitter: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        """
        Args:
            check_cluster: Raises `Gap` if the store is not the one that was read. Hits written to
                a restored store before that is noticed could be taken for others of their time.
        """
        self._ledger = ledger
        self._store = store
        self._key = key
        self._check_cluster = check_cluster
        self._flush_interval_s = flush_interval_s
        self._write_budget = write_budget
        self._jitter = jitter
        self._logger = logger
        self._bell = asyncio.Event()
        self._reopening = False
        self._asleep = asyncio.Event()
        self._epoch = 0
        self._seq = 0
        self._revision = 0
        self._failing = False

    def ring(self) -> None:
        """There is something to send. Only from the event loop's thread."""
        self._bell.set()

    def reopen(self) -> None:
        """Begin another epoch if this session has not caught up yet."""
        self._reopening = True
        self.ring()

    async def drain(self) -> None:
        """Until there is nothing left to send."""
        self._asleep.clear()
        self.ring()
        await self._asleep.wait()

    async def run(self, caught_up: asyncio.Event) -> None:
        """Open an epoch, wait until `caught_up`, then append until cancelled.

        Nothing is appended before: hits would get the time of the last record before the start.

        Raises:
            KeyLost: Somebody else writes here.
            Gap: The store is not the one that was read, or an older copy of it.
        """
        await self._open()
        while not caught_up.is_set():
            self._bell.clear()
            await self._bell.wait()
            if self._reopening and not caught_up.is_set():
                await self._open()
        loop = asyncio.get_running_loop()
        last = -math.inf
        while True:
            last = await self._until_due(last)
            self._seq += 1
            await self._append(
                self._ledger.take(epoch=self._epoch, seq=self._seq, folded=loop.create_future())
            )

    async def _open(self) -> None:
        """Take the key over. An attempt with an unknown outcome just costs an epoch."""
        self._reopening = False
        for delay in retries_s(self._jitter):
            try:
                entry = await self._store.get(self._key)
                known = self._ledger.state.writers.get(self._ledger.writer)
                self._epoch = 1 + max(
                    self._epoch,
                    decode(entry.value).epoch if entry else 0,
                    known.epoch if known else 0,
                )
                self._seq = 1
                self._revision = entry.revision if entry else 0
                await self._overwrite(encode(self._ledger.open(self._epoch)))
            except (Conflict, OutcomeUnknown, Unavailable, NotWritable) as error:
                self._failed(error)
                await asyncio.sleep(delay)
            else:
                self._succeeded()
                return

    async def _until_due(self, last: float) -> float:
        """Wait until there is something to send and it may be sent; the time of that."""
        loop = asyncio.get_running_loop()
        while True:
            self._bell.clear()
            with self._ledger.lock:
                outbox = self._ledger.outbox
                urgent, self._ledger.idle = outbox.urgent, outbox.empty
                writers = self._ledger.state.recent_writers()
            if self._ledger.idle:
                self._asleep.set()
                await self._bell.wait()
                continue
            wait = (
                last
                - loop.time()
                + batch_interval_s(
                    writers=writers,
                    flush_interval_s=self._flush_interval_s,
                    write_budget=self._write_budget,
                    strict=urgent,
                )
            )
            if wait <= 0:
                return loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._bell.wait()

    async def _append(self, load: Load) -> None:
        uncertain = False
        for delay in retries_s(self._jitter):
            try:
                if await self._put(load, uncertain=uncertain):
                    break
            except OutcomeUnknown as error:
                uncertain = True
                self._failed(error)
            except (Unavailable, NotWritable) as error:
                self._failed(error)
            await asyncio.sleep(delay)
        self._succeeded()
        await load.folded

    async def _put(self, load: Load, *, uncertain: bool) -> bool:
        """Whether the batch is in the store. If not, it certainly is not and can be sent again."""
        value = self._ledger.encode(load)
        try:
            await self._overwrite(value)
        except Conflict:
            entry = await self._store.get(self._key)
            if entry is not None:
                found = decode(entry.value)
                if (found.epoch, found.seq) != (load.epoch, load.seq):
                    raise KeyLost(
                        f"batch {found.epoch}.{found.seq} is under key {self._key!r} instead of "
                        f"{load.epoch}.{load.seq}: another process runs with this instance's id; "
                        "give each instance its own"
                    ) from None
                self._revision = entry.revision
            elif uncertain:
                raise KeyLost(
                    f"key {self._key!r} was deleted while it was uncertain what it held"
                ) from None
            else:
                # Deleted because this instance has been silent for long.
                self._revision = 0
                return False
        return True

    async def _overwrite(self, value: bytes) -> None:
        self._check_cluster()
        known = self._ledger.state.revision
        self._revision = await self._store.put(self._key, value, if_revision=self._revision)
        if self._revision <= known:
            raise Gap(
                f"the store went back: it wrote revision {self._revision} after {known} had been "
                "read; was it restored from an older copy? Reading the log anew"
            )

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            self._logger.warning(
                "the counter log cannot be written; hits are kept here and sent later",
                extra={"error": str(error)},
            )
        self._failing = True

    def _succeeded(self) -> None:
        if self._failing:
            self._logger.info("the counter log is written again")
        self._failing = False
