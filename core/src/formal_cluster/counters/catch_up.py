"""Whether this instance is level with the log: its records, and its time.

A session opens with a record of its own, the *barrier*. Once that has come back, everything before
it has been folded. If the instance did not know the time, the barrier asked for it (see `clock`),
and only an answer completes the catching up.
"""

from __future__ import annotations

from formal_cluster.counters.clock import LogClock


class CatchUp:
    """One session after the other. All times are integer milliseconds.

    Attributes:
        clock: Kept from session to session: the time does not get lost with records.
        done: Whether strict decisions may be taken.
    """

    def __init__(self) -> None:
        self.clock = LogClock()
        self.done = False
        self._barrier: int | None = None
        self._barrier_folded = False

    @property
    def asking(self) -> bool:
        """Whether only the answer to the question for the time is missing."""
        return self._barrier_folded and not self.done

    def restart(self) -> None:
        """A session is over."""
        self.done = False
        self._barrier = None
        self._barrier_folded = False

    def open(self, epoch: int, log_time: int, monotonic: int, wall: int) -> tuple[int, bool]:
        """The barrier is about to be appended in `epoch`; the time it proposes and whether it asks.

        It may take several epochs until one is known to be appended. Any of them will do.

        Args:
            log_time: L so far, 0 if the log is empty.
        """
        if self._barrier is None:
            self._barrier = epoch
        return self.propose(log_time, monotonic, wall)

    def propose(self, log_time: int, monotonic: int, wall: int) -> tuple[int, bool]:
        """The time that a record proposes now, and whether it asks for the time.

        Args: as `open`.
        """
        if not log_time and not self.clock.synced:
            self.clock.start_log(wall, monotonic)
        if self.clock.synced:
            return self.clock.now(monotonic), False
        return log_time, True

    def folded_own(self, epoch: int) -> None:
        """A record of this instance is being folded."""
        if self._barrier is not None and epoch >= self._barrier:
            self._barrier_folded = True

    def folded(self, log_time: int, monotonic: int, *, sync: bool) -> None:
        """A record, whosesoever, has been folded; `log_time` is L after it."""
        self.clock.folded(log_time, monotonic, sync=sync)
        if self._barrier_folded and (self.clock.synced or not sync):
            self.clock.synced = True
            self.done = True

    def nobody_answered(self, log_time: int, last_wall: int, wall: int, monotonic: int) -> bool:
        """The wait for an answer is over; whether the others are now to be told the time."""
        if not self.asking:
            return False
        self.clock.nobody_answered(log_time, last_wall, wall, monotonic)
        self.done = True
        return self.clock.now(monotonic) > log_time

    def owes_answer(self, log_time: int, monotonic: int) -> bool:
        """Whether the others are to be told the time after another's record."""
        return self.done and self.clock.owes_answer(log_time, monotonic)
