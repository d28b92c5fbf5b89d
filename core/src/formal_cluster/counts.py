"""The counters' part of `model`: what is counted, how it agrees, and what comes out."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

from formal_cluster.errors import ConfigError

_UNIT_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_WINDOW = re.compile(r"last_(?:([1-9]\d{0,6})_)?(second|minute|hour|day)(s?)\Z")
_LONGEST_WINDOW_MS = 31 * _UNIT_MS["day"]
BOUNDS = ("lower", "upper")
"""The bounds of a count, as a policy names them: `input.bucket.access_count.upper.last_minute`."""


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window that ends now: `last_minute`, `last_10_seconds`, …"""

    name: str
    length_ms: int

    @classmethod
    def parse(cls, name: str) -> Window:
        """Read a window's name: `last_<unit>` or `last_<n>_<unit>[s]`, at most 31 days.

        Raises:
            ConfigError: The name is none of these. The message lists the valid forms.
        """
        match = _WINDOW.fullmatch(name)
        if match is None or (match[1] is None and match[3]):
            raise ConfigError(
                f"{name!r} is not a window; use last_second, last_minute, last_hour, last_day "
                "or last_<n>_<unit>, for example last_10_seconds"
            )
        length_ms = int(match[1] or 1) * _UNIT_MS[match[2]]
        if length_ms > _LONGEST_WINDOW_MS:
            raise ConfigError(f"window {name!r} is longer than 31 days, the longest one kept")
        return cls(name, length_ms)


class Grade(enum.StrEnum):
    """How a counter agrees with the other instances before a decision."""

    EVENTUAL = "eventual"
    """Decided in local memory, shared within one flush interval."""
    RESERVED = "reserved"
    """Taken from a block of hits that is in the shared log already: never overshoots."""
    STRICT = "strict"
    """Placed in the shared log first, decided on the count before it: never overshoots."""


class OnDegraded(enum.StrEnum):
    """What a counter does while the shared state cannot be reached."""

    LOCAL = "local"
    """Go on with what this instance has counted and last heard."""
    BLOCK = "block"
    ALLOW = "allow"
    """Read as zero, so that no threshold fires."""


class CounterKey(NamedTuple):
    """What is counted: a counter and the subject it is kept for, e.g. (user, bucket)."""

    counter: str
    subject: tuple[str, ...]


class CounterRead(NamedTuple):
    """A key and the windows of it that a policy reads.

    Attributes:
        count_denied: A hit stays counted when the access is denied.
        thresholds: For each window, the counts T such that the decision may be another one for
            T + 1, in order; None if they are not known. Empty if nothing is known of any window.
        block: Most hits that grade `reserved` may append at once.
    """

    key: CounterKey
    windows: tuple[Window, ...]
    count_denied: bool = False
    thresholds: tuple[tuple[int, ...] | None, ...] = ()
    block: int = 64


class Count(NamedTuple):
    """The hits of one key in one window, *without* the attempt that is being decided.

    How current it is stands in what it came with: `Attempt.revision`, `CountersStatus.stale_ms`.
    One of these is made for each window of each decision, so it holds nothing else.

    Attributes:
        value: Never less than the true number in log time of the hits that are known of.
        exact: False when `value` was rounded up: the subject is busier than its exact log.
        doubtful: How many of `value` may have left the window.
    """

    value: int
    exact: bool = True
    doubtful: int = 0

    @property
    def lower(self) -> int:
        """The hits that are certainly in the window."""
        return self.value - self.doubtful


@dataclass(frozen=True, slots=True)
class CountersStatus:
    """The counters' condition, from memory.

    Attributes:
        caught_up: Whether the shared history has been read up to this instance's own start.
        stale_ms: Milliseconds since what is held was last known to be current; None if never.
        revision: Store revision of the last record folded in.
        log_time_ms: The log's clock, milliseconds since the Unix epoch; None before any record.
        subjects: Number of subjects held.
        pending: Hits not yet confirmed by the log.
        writers: How many instances have counted lately, this one included.
        unsettled: Why no strict decision is made though the log is followed; None if they are.
        time_unknown: Whom this instance has asked for the counters' time in vain, with the mend;
            until they answer it is not `caught_up`. None if it knows the time, or has just asked.
        clock_off_ms: How far this instance's wall clock is ahead of the others'; negative if it is
            behind, 0 if it is among them or nothing can be said.
        clock_warning: What is wrong with the instances' clocks, with the mend; None if nothing is.
    """

    caught_up: bool
    stale_ms: int | None
    revision: int
    log_time_ms: int | None
    subjects: int
    pending: int
    unsettled: str | None = None
    time_unknown: str | None = None
    clock_off_ms: int = 0
    clock_warning: str | None = None
    writers: int = 1
