"""One log line when a source of discovery stops answering and one when it is back.

A source that is away is retried every few seconds; a line for each retry would bury the rest.
"""

from __future__ import annotations

import logging


class HealthLog:
    """Remembers whether a source answered when it was last asked, and logs when that changes."""

    def __init__(self, logger: logging.Logger, source: str) -> None:
        self._logger = logger
        self._source = source
        self._healthy = True

    def failed(self, reason: str) -> None:
        """The source did not answer."""
        if self._healthy:
            self._logger.warning(
                "discovery source does not answer",
                extra={"source": self._source, "reason": reason},
            )
        self._healthy = False

    def answered(self) -> None:
        """The source answered."""
        if not self._healthy:
            self._logger.info("discovery source answers again", extra={"source": self._source})
        self._healthy = True
