"""Log time: one clock for all instances, made of the records and of nobody's wall clock.

**The fold.** Every batch proposes a time; log time L becomes max(L, proposed). So all readers agree
on L at every record, and it never goes back. All windows are measured in it.

**Between records** an instance extrapolates: its estimate is the largest, over all records it
received, of (L at that record + its own monotonic time since it received it). It proposes that
estimate with its next batch. Only the *rates* of monotonic clocks take part, so wall clocks may be
off by hours, or be set while running, without any effect.

**A starter** does not know how much time passed since the last record. It appends a record that
asks (`sync`), and an instance that knows answers with a record of its own, whatever else it has to
say. Until then the starter writes nothing else and decides nothing strictly. It asks again after 2,
4, 8 … seconds, for as long as the store says that an instance is there which has not asked for the
time itself (`asking`). A store that cannot say who is there: for 14 seconds.

**Nobody is there who knows.** Then only wall clocks are left. The starter appends a record that
says so (`alone`), and the *fold* works the time out, so that it is everybody's and nobody's
proposal: each who asks tells the time by its wall clock and the earlier of two offsets, its own at
its last record and the median of all; the lower median of what they tell counts. So with two or
more starters, one clock that is wrong does not matter; a starter that is alone and comes back under
its name is as wrong as its clock has been *set* meanwhile. If anybody tells the time before that
record is folded, the record changes nothing. Every choice here errs on the side of too early a
time: then hits count for longer than they should, and never for less.

**An empty log** begins at the wall clock of its first writer. Nothing is in it that could expire.

**A correction.** An instance that folds another's hits after which L is more than
`TOLERATED_LAG_MS` behind its own estimate answers too, at most once in `CORRECTION_EVERY_MS`, so
that a lagging writer cannot hold time back. A slow store looks the same; then it does no harm.

**A fence.** An instance whose wall clock is off from the others' is told so, answers last, and
corrects nobody (`fence`).

Bounds:

- *Wall clocks*: 0 ms while anybody is there who knows the time, whatever they show.
- *Delay.* An estimate is behind by at most the time a record took to arrive, since it counts from
  the receipt; that makes counts too large for as long, never too small.
- *Drift.* Log time runs at the rate of the fastest monotonic clock: 100 ppm are 6 ms a minute. A
  window is too short by that at most.
- *A suspended machine* whose monotonic clock stood still proposes too early a time. It cannot pull
  L back. If all others are idle, its first batch counts as older than it is by up to the length of
  the suspension, until a correction arrives one store round trip later.
- *A late batch.* A batch may be applied later than it was proposed, by at most its writer's retry;
  each retry proposes afresh. Its hits then count from L, or from their age at that proposal.
- *Nobody there.* The error of the median clock, relative to what it showed at the last record. An
  instance that lives on but reaches the store no more counts as not there; when it comes back, L
  goes on from the later of both times.
"""

from __future__ import annotations

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

    def loaded(self, log_time: int, monotonic: int) -> None:
        """A snapshot has been read; `log_time` is L in it."""
        self._reach(log_time, monotonic)

    def folded(self, log_time: int, monotonic: int, *, unanswered: bool) -> None:
        """A record has been received and folded; `log_time` is L after it."""
        self._reach(log_time, monotonic)
        self.unanswered = unanswered

    def corrects(self, log_time: int, monotonic: int) -> bool:
        """Whether this instance is to append its time, as another's record lags behind it."""
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
