"""etcd's log: its JSON lines, parsed, bounded and passed on to Python's logging.

etcd's `info` is detail to an operator of this framework, so it is logged at DEBUG. Line length and
rate are bounded: a member that cannot reach another logs several lines a second for as long as it
lasts. What is left out is counted and said.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_LONGEST_LINE: Final = 4_096
_KEPT_LINES: Final = 20
_LINES_PER_SECOND: Final = 50
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.DEBUG,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_PREFIXES: Final = {
    # The gRPC library inside etcd logs plain text.
    "INFO: ": logging.DEBUG,
    "WARNING: ": logging.INFO,
    # A line that was too long is no JSON any more.
    '{"level":"info"': logging.DEBUG,
    '{"level":"warn"': logging.WARNING,
}
_TRACE: Final = "goroutine "
_CHATTY: Final = "rafthttp/"
"""Warns of each connection between members, also of those that were established."""
_NOT_WORTH_A_WARNING: Final = frozenset(
    {
        # Our own files beside the `member` directory.
        "found invalid file under data directory",
        # A matter of etcd's own user accounts, which are not used.
        "simple token is not cryptographically signed",
    }
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its level for Python's logging, its message and its other fields."""

    level: int
    message: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        error = self.fields.get("error")
        return f"{self.message}: {error}" if error else self.message


def parse(line: bytes) -> LogLine:
    """Read one line. What is not JSON (a panic's trace, the launcher's refusal) is an error."""
    text = line.decode(errors="replace").rstrip()
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        level = next((lv for prefix, lv in _PREFIXES.items() if text.startswith(prefix)), None)
        return LogLine(logging.ERROR if level is None else level, text, {})
    level = _LEVELS.get(str(fields.pop("level", "")), logging.WARNING)
    if level == logging.WARNING and str(fields.get("caller", "")).startswith(_CHATTY):
        level = logging.INFO
    message = str(fields.pop("msg", ""))
    for noise in ("ts", "stacktrace"):
        fields.pop(noise, None)
    if message in _NOT_WORTH_A_WARNING:
        level = logging.DEBUG
    return LogLine(level, message, fields)


class LineSplitter:
    """Cuts a byte stream into lines of at most `longest` bytes; what a line has more is lost."""

    def __init__(self, longest: int = _LONGEST_LINE) -> None:
        self._longest = longest
        self._partial = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes."""
        *complete, partial = (self._partial + data).split(b"\n")
        self._partial = partial[: self._longest]
        yield from (line[: self._longest] for line in complete if line.strip())

    def end(self) -> Iterator[bytes]:
        """The unfinished last line, if there is one."""
        if self._partial.strip():
            yield self._partial
        self._partial = b""


class LogForwarder:
    """Passes lines on to `logger` and keeps the last ones that complain.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._second = clock()
        self._in_second = 0
        self._left_out = 0
        self._complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        self._in_trace = False

    @property
    def complaints(self) -> tuple[str, ...]:
        """The last warnings and errors, oldest first, without the trace of a panic."""
        return tuple(self._complaints)

    def accept(self, raw: bytes) -> None:
        """Take one line."""
        line = parse(raw)
        # A trace is the last that a Go program prints, and long: it would push out the cause.
        self._in_trace = self._in_trace or line.message.startswith(_TRACE)
        if line.level >= logging.WARNING and not self._in_trace:
            self._complaints.append(str(line))
        if not self._logger.isEnabledFor(line.level) or not self._within_rate():
            return
        self._logger.log(
            line.level, "etcd says", extra={"etcd": {"message": line.message, **line.fields}}
        )

    def _within_rate(self) -> bool:
        now = self._clock()
        if now - self._second >= 1:
            if self._left_out:
                self._logger.warning(
                    "left out lines of etcd's log", extra={"lines": self._left_out}
                )
            self._second, self._in_second, self._left_out = now, 0, 0
        self._in_second += 1
        if self._in_second <= _LINES_PER_SECOND:
            return True
        self._left_out += 1
        return False
