"""Which windows hits are kept for: those that somebody has read lately.

Every instance says so in the log when it reads a window for the first time, and again every
`ASKED_EVERY_MS` while it does. A window that nobody has asked for during all of its length and
`GRACE_MS` on top is forgotten: by then no instance has read it while any of its hits happened. It
is log time that counts, so everybody forgets it at the same record.

An instance that cannot write for that long, while the others go on and read other windows only,
finds the window empty when it comes back, as if it had never been asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from formal_cluster.counters.windows import BASE_RESOLUTION, Resolution

ASKED_EVERY_MS = 3_600_000
GRACE_MS = 2 * ASKED_EVERY_MS
_LOOK_EVERY_MS = 60_000

Asked = tuple[str, int, int]


class Retention:
    """The windows of every counter.

    Attributes:
        resolutions: Per counter; `BASE_RESOLUTION` where there is none. Only to be looked at.
    """

    def __init__(self) -> None:
        self.resolutions: dict[str, Resolution] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._next_look = 0

    @property
    def asked(self) -> list[Asked]:
        """Counter, length, and the log time when it was last asked for."""
        return [(*window, at) for window, at in self._asked.items()]

    def restore(self, asked: Iterable[Asked]) -> None:
        """The inverse of `asked`."""
        for counter, length, at in asked:
            self.ask(counter, length, at)

    def ask(self, counter: str, length: int, log_time: int) -> None:
        """Keep hits for a window."""
        self._asked[counter, length] = log_time
        present = self.resolutions.get(counter, BASE_RESOLUTION)
        if counter not in self.resolutions or length not in present.lengths:
            self.resolutions[counter] = present.with_length(length)

    def pass_time(self, log_time: int) -> None:
        """Forget what nobody has asked for."""
        if log_time < self._next_look:
            return
        self._next_look = log_time + _LOOK_EVERY_MS
        forgotten = [
            (counter, length)
            for (counter, length), at in self._asked.items()
            if at <= log_time - length - GRACE_MS
        ]
        for window in forgotten:
            del self._asked[window]
        for counter in {counter for counter, _ in forgotten}:
            del self.resolutions[counter]
            for other, length in self._asked:
                if other == counter:
                    present = self.resolutions.get(counter, BASE_RESOLUTION)
                    self.resolutions[counter] = present.with_length(length)
