"""What an instance's counters hold, and the lock that everybody takes who reads or changes it.

    state      the log, folded
    outbox     what the log does not hold yet
    catch_up   whether this is level with the log, and the log's clock
    held       what is remembered from before a store loss

`counting` reads them, `reserver` and `folding` change them, and `ledger` is all of that together.
The lock is never held over I/O or an `await`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from formal_cluster.counters.catch_up import CatchUp
from formal_cluster.counters.fold import State
from formal_cluster.counters.held import Held
from formal_cluster.counters.outbox import Outbox
from formal_cluster.model import CounterKey

_GIVEN_WAY_S: Final = 0.0001


class Books:
    """The counters' memory.

    Attributes:
        writer: This instance's name in the log.
        catch_up: Whether this is level with the log, and the log's clock.
        held: What is remembered from before a store loss, until the log has it again.
        life: The life of the log that the state was loaded in; 0 if it was not recorded.
        asked: The lengths of the windows that were asked for, by counter; forgotten once in
            `ASKED_EVERY_MS`, so that those still read are asked for again.
        idle: Whether the writer sleeps until `on_work` is called. Set by the writer under `lock`.
        on_work: Called once, from any thread, when there is something to send and `idle`.
    """

    def __init__(
        self,
        *,
        writer: str,
        state: State,
        outbox: Outbox,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        on_work: Callable[[], None],
    ) -> None:
        self.lock = threading.Lock()
        self.writer = writer
        self.state = state
        self.outbox = outbox
        self.catch_up = CatchUp()
        self.held: Held | None = None
        self.life = 0
        self.asked: dict[str, set[int]] = {}
        self.idle = False
        self._contended = False
        self._on_work = on_work
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def now(self) -> int:
        """This instance's monotonic clock, in milliseconds."""
        return self._monotonic_ns() // 1_000_000

    def wall(self) -> int:
        """This instance's wall clock, in milliseconds since the Unix epoch."""
        return self._wall_ns() // 1_000_000

    # ── the lock is held ─────────────────────────────────────────────────────────────────────

    @property
    def is_settled(self) -> bool:
        """Whether the log has all that anybody is known to remember from before a store loss."""
        if self.held is None and not self.state.restoration.awaited:
            return True
        log_time = self.catch_up.clock.now(self.now())
        return self.held is None and self.state.restoration.over(log_time)

    def wake(self) -> None:
        """There is something to send."""
        if self.idle:
            self.idle = False
            self._on_work()

    # ── the lock is not held ─────────────────────────────────────────────────────────────────

    def refund(self, keys: Sequence[CounterKey], log_time: int) -> None:
        """Take back hits that are in the log at a log time."""
        with self.lock:
            for key in keys:
                self.outbox.refund(key, log_time)
            self.wake()

    def wait_for_lock(self) -> None:
        """Take the lock, which somebody holds."""
        self._contended = True
        self.lock.acquire()

    def give_way(self) -> None:
        """Let threads in that wait for the lock.

        Python's locks are not fair: who releases one and wants it again at once gets it.
        """
        if self._contended:
            self._contended = False
            time.sleep(_GIVEN_WAY_S)
