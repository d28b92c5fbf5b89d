"""The decision log: one JSON line a decision, OPA's shape plus the counters it saw.

Lines are written by a thread of their own, so that a decision never waits for a disk. The queue is
bounded; a line that does not fit is counted as dropped and the drop is logged, never hidden.
"""

from __future__ import annotations

import datetime
import logging
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from formal_cluster.errors import ConfigError
from formal_cluster.model import CounterReading, Decision

_log = logging.getLogger(__name__)
_QUEUE_LINES = 100_000

_Entry = tuple[float, Decision, Mapping[str, Any]]


def reading_as_json(reading: CounterReading) -> dict[str, Any]:
    """A counter as the decision log and `?provenance` show it."""
    return {
        "path": reading.path,
        "subject": reading.key.subject,
        "value": reading.value,
        "exact": reading.exact,
        "lower": reading.lower,
        "upper": reading.upper,
    }


class DecisionLog:
    """Appends decisions to a file, or to standard output for the path `-`.

    Raises:
        ConfigError: The file cannot be opened for appending.
    """

    def __init__(self, path: Path, instance_id: str) -> None:
        self._labels = {"id": instance_id}
        self._queue: queue.Queue[_Entry | None] = queue.Queue(_QUEUE_LINES)
        self._dropped = 0
        self._to_stdout = path == Path("-")
        try:
            self._out: IO[bytes] = sys.stdout.buffer if self._to_stdout else path.open("ab")
        except OSError as error:
            raise ConfigError(
                f"cannot append to the decision log {path}: {error.strerror}; set log.decisions"
            ) from error
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._thread.start()

    def append(self, decision: Decision, document: Mapping[str, Any], _seconds: float) -> None:
        """Queue one decision. Callable from any thread, never blocks."""
        try:
            self._queue.put_nowait((time.time(), decision, document))
        except queue.Full:
            self._dropped += 1
            if self._dropped.bit_count() == 1:
                _log.error("decisions missing from the log", extra={"dropped": self._dropped})

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._queue.put(None)
        self._thread.join()
        if not self._to_stdout:
            self._out.close()

    def _write(self) -> None:
        encode = msgspec.json.Encoder().encode
        while (entry := self._queue.get()) is not None:
            try:
                self._out.write(encode(self._line(*entry)) + b"\n")
                if self._queue.empty():
                    self._out.flush()
            except OSError as error:
                self._dropped += 1
                _log.error("cannot write to the decision log", extra={"error": str(error)})
        self._out.flush()

    def _line(self, when: float, decision: Decision, document: Mapping[str, Any]) -> dict[str, Any]:
        line: dict[str, Any] = {
            "labels": self._labels,
            "decision_id": decision.id,
            "timestamp": datetime.datetime.fromtimestamp(when, datetime.UTC),
            "input": document,
            "path": f"formal/v2/{decision.stage}",
            "action": decision.action,
            "counters": [reading_as_json(reading) for reading in decision.counters],
            "policies": [
                {"policy": o.policy, "result": o.result, "error": o.error}
                for o in decision.outcomes
                if o.result is not None or o.error is not None
            ],
            "cluster": decision.cluster,
            "grade": decision.grade,
            "revision": decision.revision,
            "stale_ms": decision.stale_ms,
        }
        if decision.result is not None:
            line["result"] = decision.result
        if decision.reason is not None:
            line["reason"] = decision.reason
        return line
