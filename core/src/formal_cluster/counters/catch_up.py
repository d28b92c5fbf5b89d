"""Whether this instance is level with the log: its records, and its time.

A session opens with a record of its own, the *barrier*. Once that has come back, everything before
it has been folded. If the instance did not know the time, the barrier asked for it (see `clock`),
and only an answer completes the catching up.
"""

from __future__ import annotations

from typing import NamedTuple

from formal_cluster.counters.clock import LogClock


class Proposal(NamedTuple):
    """What a record says of the time, as in `Batch`."""

    proposed: int
    sync: bool = False
    alone: list[str] | None = None


class CatchUp:
    """One session after the other. All times are integer milliseconds.

    Attributes:
        clock: Kept from session to session: the time does not get lost with records.
        done: Whether strict decisions may be taken.
    """

    def __init__(self) -> None:
        self.clock = LogClock()
        self.done = False
        self._alone: list[str] | None = None
        self._barrier: int | None = None
        self._barrier_folded = False

    @property
    def asking(self) -> bool:
        """Whether only the answer to the question for the time is missing."""
        return self._barrier_folded and not self.done

    def restart(self) -> None:
        """A session is over."""
        self.done = False
        self._alone = None
        self._barrier = None
        self._barrier_folded = False

    def open(self, epoch: int, log_time: int, monotonic: int, wall: int) -> Proposal:
        """The barrier is about to be appended in `epoch`; what it says of the time.

        It may take several epochs until one is known to be appended. Any of them will do. Later
        ones ask again.

        Args:
            log_time: L so far, 0 if nobody has told the time yet.
        """
        if self._barrier is None:
            self._barrier = epoch
        proposal = self.propose(log_time, monotonic, wall)
        if proposal.sync and self._alone is not None:
            return Proposal(log_time, alone=self._alone)
        return proposal

    def propose(self, log_time: int, monotonic: int, wall: int) -> Proposal:
        """What a record says of the time now.

        Args: as `open`.
        """
        if self.clock.synced:
            return Proposal(self.clock.now(monotonic))
        return Proposal(log_time or wall, sync=True)

    def folded_own(self, epoch: int) -> None:
        """A record of this instance is being folded."""
        if self._barrier is not None and epoch >= self._barrier:
            self._barrier_folded = True

    def folded(self, log_time: int, monotonic: int, *, unanswered: bool) -> None:
        """A record, whosesoever, has been folded; `log_time` is L after it.

        Args:
            unanswered: It leaves a question for the time open.
        """
        self.clock.folded(log_time, monotonic, unanswered=unanswered)
        if self._barrier_folded and (self.clock.synced or not unanswered):
            self.clock.synced = True
            self.done = True

    def nobody_answered(self, asking: list[str]) -> None:
        """Nobody is there who could. The next opening says so, and its fold sets the time.

        Args:
            asking: Who else has asked and is there.
        """
        self._alone = asking if self.asking else None

    def owes_answer(self, log_time: int, monotonic: int, *, corrects: bool) -> bool:
        """Whether the others are to be told the time after another's record.

        Args:
            corrects: Whether this instance's clocks are good enough for correcting others.
        """
        if not (self.done and self.clock.synced):
            return False
        return self.clock.unanswered or (corrects and self.clock.corrects(log_time, monotonic))
