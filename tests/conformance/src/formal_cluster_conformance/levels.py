"""What a run amounts to. Pure.

The levels, best first: `full`, `declared`, `partial`, `inconclusive`, `failed`. Nothing is rounded
up: a rule that was not tried, for whatever reason, costs the level that it belongs to.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from formal_cluster_conformance.results import Outcome, Results, Status
from formal_cluster_conformance.rules import Profile


class Level(enum.StrEnum):
    """How far a profile is met."""

    FULL = "full"
    """Every rule was tried and is met."""
    DECLARED = "declared"
    """Every rule that the declared capabilities demand was tried and is met."""
    PARTIAL = "partial"
    """What was tried is met, but some rules were not tried."""
    INCONCLUSIVE = "inconclusive"
    """Nothing wrong was seen, and at least one rule had too little to go by."""
    FAILED = "failed"


_BEST_FIRST = tuple(Level)
_COSTS = {
    Status.PASSED: Level.FULL,
    Status.UNDECLARED: Level.DECLARED,
    Status.SKIPPED: Level.PARTIAL,
    Status.DESELECTED: Level.PARTIAL,
    Status.INCONCLUSIVE: Level.INCONCLUSIVE,
    Status.ERROR: Level.FAILED,
    Status.FAILED: Level.FAILED,
}


def level(outcomes: Iterable[Outcome], *, overridden: bool = False) -> Level:
    """What these outcomes amount to together; nothing at all is inconclusive."""
    reached = [_COSTS[outcome.status] for outcome in outcomes]
    if overridden:
        reached.append(Level.PARTIAL)
    return max(reached, key=_BEST_FIRST.index, default=Level.INCONCLUSIVE)


def level_of(results: Results, profile: Profile) -> Level:
    """What the run amounts to for one profile."""
    return level(
        (outcome for outcome in results.outcomes if outcome.rule.profile is profile),
        overridden=bool(results.overridden),
    )


def underclaimed(results: Results) -> tuple[str, ...]:
    """Capabilities that the driver does not declare though all that could be tried of them holds.

    A rule counts for a capability only if nothing else that it needs is undeclared.
    """
    passed, refuted = set(), set()
    for outcome in results.outcomes:
        if len(outcome.lacking) != 1:
            continue
        (capability,) = outcome.lacking
        if outcome.status is Status.PASSED:
            passed.add(capability)
        else:
            refuted.add(capability)
    return tuple(sorted(passed - refuted))
