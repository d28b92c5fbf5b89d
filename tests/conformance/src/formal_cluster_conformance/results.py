"""What a run found: values only. `levels` says what it amounts to, `report` shows it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from formal_cluster_conformance.rules import Profile, Rule


class Violation(Exception):
    """The rule is not met; the message says what was expected and what happened.

    Attributes:
        timeline: Who did what when, if that helps; lines of text.
    """

    def __init__(self, message: str, *, timeline: str = "") -> None:
        super().__init__(message)
        self.timeline = timeline


class Undecided(Exception):
    """The check could not tell whether the rule is met, for example for lack of time."""


class Status(enum.StrEnum):
    """How a rule went."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    """The suite or the backing system failed, not the driver."""
    INCONCLUSIVE = "inconclusive"
    """Nothing wrong was seen, but too little happened to prove anything."""
    UNDECLARED = "undeclared"
    """Not met or not tried, and the driver does not claim the capability."""
    SKIPPED = "skipped"
    """It could not be tried here."""
    DESELECTED = "deselected"
    """Somebody chose not to try it."""


@dataclass
class Demand:
    """Something that had to happen for the result to mean anything."""

    what: str
    seen: int
    at_least: int

    @property
    def met(self) -> bool:
        """Whether enough of it happened."""
        return self.seen >= self.at_least


@dataclass
class Evidence:
    """How much a check really tried.

    Attributes:
        operations: Calls of the driver that were recorded.
        overlapping: How many of them ran at the same time as another one on the same key.
        unknown: How many of them ended without telling whether they were applied.
        faults: Operations that ran during each fault, by its name.
    """

    operations: int = 0
    overlapping: int = 0
    unknown: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    demands: list[Demand] = field(default_factory=list)

    def demand(self, what: str, seen: int, at_least: int) -> None:
        """Without `at_least` of this the result is inconclusive."""
        self.demands.append(Demand(what, seen, at_least))


@dataclass(frozen=True)
class Outcome:
    """How one rule went.

    Attributes:
        detail: Why, if it was not simply passed.
        lacking: Capabilities that it needs and the driver does not declare.
    """

    rule: Rule
    status: Status
    detail: str = ""
    timeline: str = ""
    seconds: float = 0.0
    evidence: Evidence = field(default_factory=Evidence)
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """One run of the suite.

    Attributes:
        subject: Name of the driver that was tried.
        versions: Of the driver's distribution, the suite, core, Python and the machine.
        declared: Capabilities that the driver declares.
        declaration: The rest of what the author declared; rules are measured by it.
        overridden: Ids of rules whose check was replaced by something else, and functions of the
            suite that were.
        only: How ids of rules had to begin to be tried; empty for all.
    """

    subject: str
    kind: str
    seed: int
    quick: bool
    started: str
    seconds: float
    versions: dict[str, str]
    declared: tuple[str, ...]
    profiles: tuple[Profile, ...]
    outcomes: tuple[Outcome, ...]
    overridden: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    declaration: Mapping[str, float | Sequence[str]] = field(default_factory=dict)
