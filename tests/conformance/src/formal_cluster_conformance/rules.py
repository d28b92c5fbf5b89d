"""The rules: each has an id, one sentence of specification, and a check.

    @rule("ST-DEL-02", "Deleting a key that does not exist returns None and changes nothing.")
    async def deleting_nothing(bed: Bed) -> None: ...

`catalogue()` is the one table that reports, tests and the documentation are made from. An id is
never used for another meaning.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from formal_cluster.model import Capability
from formal_cluster_conformance.declaration import Fault
from formal_cluster_conformance.discovery.declaration import Feature

Check = Callable[[Any], Awaitable[None]]
Need = Capability | Feature
_C = TypeVar("_C", bound=Check)

SPECIFICATION: Final = "1"
"""The version of the rules as a whole; it changes when a rule demands more than it did."""


class Profile(enum.StrEnum):
    """A set of rules that is passed or not as a whole."""

    STATE = "state"
    COUNTERS = "counters"
    FAILOVER = "failover"
    DISCOVERY = "discovery"


PROFILES_OF: Final = {
    "store": (Profile.STATE, Profile.COUNTERS, Profile.FAILOVER),
    "discovery": (Profile.DISCOVERY,),
}

_PREFIXES: Final = {
    "ST": Profile.STATE,
    "CO": Profile.COUNTERS,
    "FO": Profile.FAILOVER,
    "DI": Profile.DISCOVERY,
}
_MODULES: Final = {
    Profile.STATE: (
        "state.keys",
        "state.swaps",
        "state.listing",
        "state.expiry",
        "state.watching",
        "state.compaction",
        "state.errors",
        "state.newcomers",
        "state.sequences",
        "state.concurrency",
    ),
    Profile.COUNTERS: (
        "counters.strict",
        "counters.reserved",
        "counters.windows",
        "counters.eventual",
    ),
    Profile.FAILOVER: ("failover.rules",),
    Profile.DISCOVERY: ("discovery.rules",),
}


@dataclass(frozen=True)
class Rule:
    """One demand.

    Attributes:
        text: The demand, as one sentence.
        check: Tries it; raises `Violation` if it is not met.
        needs: Capabilities (of a store) or features (of a platform) without which nothing of the
            kind is promised.
        faults: What has to be possible to try it.
        instances: How many instances it takes.
        deadline_s: How long the check may take; a store that hangs fails by it.
    """

    id: str
    text: str
    check: Check
    needs: frozenset[Need] = frozenset()
    faults: frozenset[Fault] = frozenset()
    instances: int = 1
    deadline_s: float = 60.0

    @property
    def profile(self) -> Profile:
        """The profile it belongs to, as its id says."""
        return _PREFIXES[self.id.partition("-")[0]]


_RULES: dict[str, Rule] = {}


def rule(
    id: str,  # noqa: A002  it is the rule's id, at every call
    text: str,
    *,
    needs: Collection[Need] = (),
    faults: Collection[Fault] = (),
    instances: int = 1,
    deadline_s: float = 60.0,
) -> Callable[[_C], _C]:
    """Add a check to the catalogue."""

    def add(check: _C) -> _C:
        if id in _RULES:
            raise ValueError(f"two rules have the id {id}")
        _RULES[id] = Rule(
            id, text, check, frozenset(needs), frozenset(faults), instances, deadline_s
        )
        return check

    return add


def catalogue(profile: Profile | None = None) -> tuple[Rule, ...]:
    """All rules of a profile, or of all profiles, in the order in which they are tried."""
    for wanted in [profile] if profile is not None else list(Profile):
        for module in _MODULES[wanted]:
            importlib.import_module(f"{__package__}.{module}")
    return tuple(r for r in _RULES.values() if profile is None or r.profile is profile)
