"""Log time: one clock for all instances, made of the records and of nobody's wall clock.

**The fold.** Every batch proposes a time; log time L becomes max(L, proposed). So all readers agree
on L at every record, and it never goes back. All windows are measured in it.

**Between records** an instance extrapolates: its estimate is the largest, over all records it
received, of (L at that record + its own monotonic time since it received it). It proposes that
estimate with its next batch. Only the *rates* of monotonic clocks take part, so wall clocks may be
off by hours, or be set while running, without any effect.

**A starter** does not know how much time passed since the last record. It appends a record that
asks (`sync`), and an instance that knows answers with a record of its own, whatever else it has to
say. Until then the starter writes nothing else and decides nothing strictly. If nobody answers
within `ANSWER_WAIT_S`, nobody is alive as far as the store can be asked. Then the starter adds the
wall clock's difference between now and the last record, at least zero. The first record of an
empty log proposes wall time.

**A correction.** An instance that folds another's hits after which L is more than
`TOLERATED_LAG_MS` behind its own estimate answers too, at most once in `CORRECTION_EVERY_MS`, so
that a lagging writer cannot hold time back. A slow store looks the same; then it does no harm.

Bounds:

- *Delay.* An estimate is behind by at most the time a record took to arrive, since it counts from
  the receipt; that makes counts too large for as long, never too small.
- *Drift.* Log time runs at the rate of the fastest monotonic clock: 100 ppm are 6 ms a minute. A
  window is too short by that at most.
- *A suspended machine* whose monotonic clock stood still proposes too early a time. It cannot pull
  L back. If all others are idle, its first batch counts as older than it is by up to the length of
  the suspension, until a correction arrives one store round trip later.
- *A late batch.* A batch may be applied later than it was proposed, by at most its writer's retry;
  each retry proposes afresh. Its hits then count from L, or from their age at that proposal.
- *Nobody alive.* Only here do wall clocks matter: the starter's error minus the last writer's is
  added to the pause between them. A negative pause is none.
"""

from __future__ import annotations

ANSWER_WAIT_S = 2.0
TOLERATED_LAG_MS = 50
CORRECTION_EVERY_MS = 1_000


class LogClock:
    """One instance's estimate of log time. All arguments are integer milliseconds.

    Attributes:
        synced: Whether the estimate includes the time before this instance started.
        unanswered: Whether the newest record folded asks for the time.
    """

    __slots__ = ("_corrected", "_offset", "synced", "unanswered")

    def __init__(self) -> None:
        self._corrected: int | None = None
        self._offset: int | None = None
        self.synced = False
        self.unanswered = False

    def now(self, monotonic: int) -> int:
        """The estimate; before any record just a monotonic time."""
        return monotonic + (self._offset or 0)

    def start_log(self, wall: int, monotonic: int) -> None:
        """Begin the time of an empty log."""
        self._reach(wall, monotonic)
        self.synced = True

    def loaded(self, log_time: int, monotonic: int) -> None:
        """A snapshot has been read; `log_time` is L in it."""
        self._reach(log_time, monotonic)

    def folded(self, log_time: int, monotonic: int, *, sync: bool) -> None:
        """A record has been received and folded; `log_time` is L after it."""
        self._reach(log_time, monotonic)
        self.unanswered = sync

    def nobody_answered(self, log_time: int, last_wall: int, wall: int, monotonic: int) -> None:
        """Fall back on wall clocks.

        Args:
            log_time: L now.
            last_wall: The writer's wall clock at the last record that did not ask.
            wall: This instance's wall clock now.
        """
        self._reach(log_time + wall - last_wall, monotonic)
        self.synced = True

    def owes_answer(self, log_time: int, monotonic: int) -> bool:
        """Whether this instance is to append its time now, after another's record."""
        if not self.synced:
            return False
        if self.unanswered:
            return True
        if self.now(monotonic) - log_time <= TOLERATED_LAG_MS:
            return False
        return self._corrected is None or monotonic - self._corrected >= CORRECTION_EVERY_MS

    def answering(self, monotonic: int) -> None:
        """The answer is on its way."""
        self._corrected = monotonic

    def _reach(self, log_time: int, monotonic: int) -> None:
        offset = log_time - monotonic
        if self._offset is None or offset > self._offset:
            self._offset = offset
