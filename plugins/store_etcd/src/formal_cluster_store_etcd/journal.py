"""The decision journal: each step of a planner with its evidence, as a structured log line."""

from __future__ import annotations

import logging


class Journal:
    """Writes the steps of one planner. A step that is decided again and again is written once.

    Args:
        planner: Its name in the log lines.
    """

    def __init__(self, logger: logging.Logger, planner: str) -> None:
        self._logger = logger
        self._planner = planner
        self._last: tuple[str, str] | None = None
        self._last_refusal: str | None = None

    def write(self, step: object, evidence: str) -> None:
        """A step has been decided."""
        name = type(step).__name__
        if (name, evidence) == self._last:
            return
        self._last = (name, evidence)
        level = logging.DEBUG if name == "Wait" else logging.INFO
        self._logger.log(
            level,
            "cluster decision",
            extra={"planner": self._planner, "step": name, "evidence": evidence},
        )

    def refused(self, reason: str) -> None:
        """The step could not be carried out; it will be decided anew."""
        if reason != self._last_refusal:
            self._last_refusal = reason
            self._logger.info(
                "cluster decision not carried out",
                extra={"planner": self._planner, "reason": reason},
            )
