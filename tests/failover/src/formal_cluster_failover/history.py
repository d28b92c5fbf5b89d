"""What a recorder has seen: values only. Times are seconds of one monotonic clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from formal_cluster.model import Grade

LIMIT = 5
"""Strict hits of one subject that may be admitted in `WINDOW_S`."""
WINDOW_S = 60.0

ARCHIVE = "archivist"
"""The strict subject without a limit: a hit of it always goes through the log."""


class Outcome(enum.StrEnum):
    """What an instance made of a hit."""

    ADMITTED = "admitted"
    DENIED = "denied"
    REFUSED = "refused"
    """No answer from the shared count, and the instance said so."""
    UNKNOWN = "unknown"
    """No answer at all: it may have been counted or not."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One decision that was asked for.

    Attributes:
        instance: Name of the instance asked.
        right: Whether the answer was what the shared count demands.
    """

    began: float
    ended: float
    instance: str
    grade: Grade
    subject: str
    outcome: Outcome
    right: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an instance said of itself.

    Attributes:
        ready: Whether `/ready` was answered with 200.
        state: clustered, degraded or standalone.
    """

    at: float
    instance: str
    ready: bool
    state: str
    cluster_id: str | None


@dataclass(frozen=True, slots=True)
class History:
    """Everything seen in one run of a scenario, in order of arrival."""

    hits: list[Hit]
    sightings: list[Sighting]
