"""The counters driver: a ledger in memory, kept in step with the log in the store.

One *session* reads the log from a snapshot on, then follows it, writes to it and makes snapshots.
Anything that puts the ledger in doubt (history discarded, records missed, the instance's key
overwritten by somebody) ends the session and begins a new one: there is one way to recover. In
between, strict attempts are refused and eventual ones go on from memory. A store that is merely
away ends no session: the watch and the writer wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence

from formal_cluster.background import end
from formal_cluster.counters.archive import Archive
from formal_cluster.counters.asking import Asker
from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.exactness import Exactness
from formal_cluster.counters.fold import Gap, State
from formal_cluster.counters.keys import Keys
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.pacing import retries_s
from formal_cluster.counters.reader import LogReader, StoreNamed
from formal_cluster.counters.reappend import Reappender
from formal_cluster.counters.records import Batch
from formal_cluster.counters.reset import leaving_ms
from formal_cluster.counters.restoration import UNSETTLED
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.counters.snapshotter import Snapshotter
from formal_cluster.counters.timekeeping import Timekeeping
from formal_cluster.counters.writer import LogWriter
from formal_cluster.errors import (
    Compacted,
    CountersUnavailable,
    FormalClusterError,
    Unavailable,
)
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import Count, CounterKey, CounterRead, CountersStatus, Window
from formal_cluster.protocols import Attempt

_FLUSH_AT_STOP_S = 1.0
_DEADLINES_EVERY_S = 0.01
_SNAPSHOTS_WAITED_FOR = 3
_TIDY_EVERY_S = 1.0
_ANSWER_SPREAD_S = 0.002
_FENCED_ANSWER_S = 1.0


class LogCounters:
    """Cluster-wide sliding-window counters on a replicated log.

    Each read of an attempt is one hit, so a key belongs into an attempt once. `attempt` and `peek`
    may be called from any thread, also before `start`; `attempt_strict` from the event loop that
    `start` was called on.
    """

    def __init__(
        self,
        settings: LogCountersSettings,
        context: CountersContext,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        keys = Keys(context.prefix)
        self._settings = settings
        self._logger = context.logger
        self._jitter = jitter
        self._exactness = Exactness(settings.exact_entries)
        self._ledger = Ledger(
            writer=context.instance.id,
            state=self._empty_state(),
            outbox=Outbox(max_pending=settings.max_pending, exact_entries=settings.exact_entries),
            monotonic_ns=monotonic_ns,
            wall_ns=wall_ns,
            on_work=self._wake_writer,
            reserve_life_ms=settings.reserve_life_ms,
        )
        self._timekeeping = Timekeeping(self._ledger, clock_bound_ms=settings.clock_bound_ms)
        archive = Archive(context.store, keys)
        self._reader = LogReader(
            self._ledger,
            context.store,
            keys,
            archive,
            patience_s=_SNAPSHOTS_WAITED_FOR * settings.snapshot_interval_s,
            logger=context.logger,
        )
        self._writer = LogWriter(
            self._ledger,
            context.store,
            keys.writer(context.instance.id),
            check_cluster=self._reader.check_cluster,
            flush_interval_s=settings.flush_interval_ms / 1_000,
            write_budget=settings.write_budget,
            jitter=jitter,
            logger=context.logger,
        )
        self._snapshotter = Snapshotter(
            self._ledger,
            archive,
            interval_s=settings.snapshot_interval_s,
            jitter=jitter,
            logger=context.logger,
        )
        self._reappender = Reappender(
            self._ledger, jitter=jitter, wake_writer=self._writer.ring, logger=context.logger
        )
        self._asker = Asker(
            self._ledger,
            self._timekeeping,
            context.store,
            append_opening=self._writer.reopen,
            logger=context.logger,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Event()
        self._answer_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._last_end: str | None = None
        self._intact = False
        self._oldest = 0
        self._heard: int | None = None

    async def start(self) -> None:
        """Begin to follow the log in the background."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="counters")

    async def stop(self) -> None:
        """Send what is pending within a second, then end. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._ledger.reserver.take_all_back()
        if self._ledger.catch_up.done:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_AT_STOP_S):
                    await self._writer.drain()
        self._loop = None
        await end(task)

    def status(self) -> CountersStatus:
        """The present condition, from memory. Callable from any thread."""
        with self._ledger.lock:
            state, now = self._ledger.state, self._ledger.now()
            return CountersStatus(
                caught_up=self._ledger.catch_up.done,
                stale_ms=None if self._heard is None else now - self._heard,
                revision=state.revision,
                log_time_ms=self._ledger.catch_up.clock.now(now) if state.log_time else None,
                subjects=len(state.subjects),
                pending=self._ledger.outbox.hits,
                unsettled=None if self._ledger.is_settled else UNSETTLED,
                time_unknown=self._asker.problem,
                clock_off_ms=self._timekeeping.fence.off_ms,
                clock_warning=self._timekeeping.fence.warning,
                writers=state.recent_writers(),
            )

    def peek(self, reads: Sequence[CounterRead]) -> Sequence[Sequence[Count]]:
        """Counts from local memory. Callable from any thread."""
        return self._ledger.peek(reads)

    def attempt(self, reads: Sequence[CounterRead]) -> Attempt:
        """Count an access in local memory. Callable from any thread.

        Raises:
            CountersUnavailable: `max_pending` subjects have hits that the store has not taken.
            InputError: A subject cannot be written to the log.
        """
        return self._ledger.attempt(reads)

    def hit(self, read: CounterRead) -> Sequence[Count]:
        """Count an access in local memory that is permitted anyway. Callable from any thread.

        Raises: as `attempt`.
        """
        return self._ledger.hit(read)

    async def attempt_strict(self, reads: Sequence[CounterRead], *, deadline_s: float) -> Attempt:
        """Append an access to the log and return the counts before it in log order.

        A hit that reaches the log after the deadline, or after the caller was cancelled, is taken
        back there: until then it can only make other counts larger.

        Raises:
            CountersUnavailable: Not caught up with the log, or not confirmed in time.
            InputError: A subject cannot be written to the log.
        """
        self._refuse_if_behind()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        hit = StrictHit(reads, loop.time() + deadline_s, done)
        if self._ledger.place(hit):  # for the others this has been done
            self._writer.ring()
        if self._deadline_timer is None:
            # Also if others are queued: they may have been given up, and nobody looks at them.
            self._deadline_timer = loop.call_later(_DEADLINES_EVERY_S, self._check_deadlines)
        try:
            await done
        except asyncio.CancelledError:
            if done.done() and not done.cancelled() and done.exception() is None:
                hit.cancel()
            raise
        return hit

    def spend(self, reads: Sequence[CounterRead]) -> Attempt | None:
        """Count an access with hits that this instance has reserved. Callable from any thread.

        None if there are none for some read; they are asked for then, where that looks worth it.

        Raises:
            InputError: A subject cannot be written to the log.
        """
        return self._ledger.reserver.spend(reads)

    async def attempt_reserved(self, reads: Sequence[CounterRead], *, deadline_s: float) -> Attempt:
        """Count an access with reserved hits, which are appended first if there are none.

        Raises: as `attempt_strict`.
        """
        self._refuse_if_behind()
        return await self._ledger.reserver.wait(reads, deadline_s=deadline_s)

    def reset_ms(self, key: CounterKey, window: Window, most: int) -> int | None:
        """Milliseconds until at most `most` hits of a key are in a window; None for never.

        As if no further ones came. Callable from any thread.
        """
        ledger, length = self._ledger, window.length_ms
        with ledger.lock:
            now = ledger.now()
            log_now = ledger.catch_up.clock.now(now)
            hits, pending = ledger.state.find(key), ledger.outbox.pending.get(key)
            held = [] if hits is None else [(hits.data(log_now - length), log_now)]
            if pending is not None:
                held.extend((data, now) for data in pending.data(now - length))
            return leaving_ms(held, length, most)

    def use_thresholds(self, largest: Mapping[str, int]) -> None:
        """See `ThresholdCounters.use_thresholds`."""
        with self._ledger.lock:
            self._exactness.use(largest)

    def _refuse_if_behind(self) -> None:
        if not self._ledger.catch_up.done:
            raise CountersUnavailable(
                self._asker.problem
                or "this instance has not caught up with the counter log, so it cannot decide "
                "strictly yet; see the store's status if this lasts"
            )
        if not self._ledger.is_settled:
            raise CountersUnavailable(UNSETTLED)

    def _empty_state(self) -> State:
        return State(
            exact_entries=self._settings.exact_entries,
            max_subjects=self._settings.max_subjects,
            more_exact=self._exactness.more,
        )

    def _wake_writer(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._writer.ring)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tidy_forever())
                group.create_task(self._ledger.reserver.sweep_forever())
                group.create_task(self._sessions())
        except Exception:
            self._logger.exception("the counters have a bug and follow the log no longer")
            raise

    async def _tidy_forever(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_EVERY_S)
            self._ledger.tidy()
            if self._timekeeping.look_at_clocks():
                self._log_clock()

    async def _sessions(self) -> None:
        retries = retries_s(self._jitter)
        while True:
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001 - whatever ended it, counting must go on
                cause = _first_cause(error)
                if isinstance(cause, Compacted):
                    self._oldest = cause.oldest
                elif isinstance(cause, Gap):
                    self._intact, self._oldest = False, 0
                self._log_end(cause)
            if self._caught_up.is_set():
                retries, self._last_end = retries_s(self._jitter), None
            await asyncio.sleep(next(retries))

    async def _session(self) -> None:
        self._caught_up.clear()
        try:
            await self._reader.load(self._empty_state, intact=self._intact, oldest=self._oldest)
            self._intact = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reader.follow(self._updated, self._saw_other))
                group.create_task(self._writer.run(self._caught_up))
                group.create_task(self._asker.run(self._caught_up))
                group.create_task(self._snapshotter.run(self._caught_up))
                group.create_task(self._reappender.run(self._caught_up))
                group.create_task(self._reader.watch_cluster())
        finally:
            self._ledger.suspend()
            if self._answer_timer is not None:
                self._answer_timer.cancel()
            self._answer_timer = None

    def _log_end(self, error: Exception) -> None:
        repeated, self._last_end = str(error) == self._last_end, str(error)
        if repeated:
            return
        if isinstance(error, Compacted):
            self._logger.info("the counter log's history was discarded; reading it anew")
        elif isinstance(error, Unavailable) and not self._ledger.state.revision:
            # Normal while a cluster forms; the cluster's state says so all the while.
            self._logger.debug("no counter log can be read yet", extra={"error": str(error)})
        elif isinstance(error, StoreNamed):
            self._logger.debug("checking the counter log", extra={"reason": str(error)})
        elif isinstance(error, FormalClusterError):
            self._logger.warning(
                "following the counter log ended; starting over", extra={"error": str(error)}
            )
        else:
            self._logger.error(
                "the counters or the store driver have a bug; starting over", exc_info=error
            )

    def _log_clock(self) -> None:
        warning, off_ms = self._timekeeping.fence.warning, self._timekeeping.fence.off_ms
        if warning is None:
            self._logger.info("this instance's clock agrees with the others' again")
        else:
            self._logger.warning(warning, extra={"off_ms": off_ms})

    def _updated(self) -> None:
        """Everything that the store had a moment ago is folded."""
        self._heard = self._ledger.now()
        self._note_progress()

    def _saw_other(self, batch: Batch) -> None:
        """Another writer's batch is folded."""
        if self._answer_timer is None and self._timekeeping.owes_answer(batch):
            # Spread over the instances: the first answer is enough for all.
            delay = self._jitter() * self._ledger.state.recent_writers() * _ANSWER_SPREAD_S
            if self._timekeeping.fence.fenced:
                delay += _FENCED_ANSWER_S
            self._answer_timer = asyncio.get_running_loop().call_later(delay, self._answer)

    def _note_progress(self) -> None:
        self._asker.note()
        if self._ledger.catch_up.done and not self._caught_up.is_set():
            self._caught_up.set()
            self._writer.ring()

    def _answer(self) -> None:
        self._answer_timer = None
        self._timekeeping.answer()
        self._writer.ring()

    def _check_deadlines(self) -> None:
        """One timer for all: a timer for each attempt would cost more than the attempt."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._deadline_timer = None
        for hit in self._ledger.waiting():
            if hit.done.done():
                continue
            if hit.deadline <= now:
                hit.done.set_exception(
                    CountersUnavailable(
                        "the log did not confirm the hit before its deadline; see the store's "
                        "status"
                    )
                )
            elif self._deadline_timer is None:
                self._deadline_timer = loop.call_later(_DEADLINES_EVERY_S, self._check_deadlines)


def _first_cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
