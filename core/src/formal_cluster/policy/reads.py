"""What a policy reads: the result of interpreting it (`interpret`), on which `analyse` works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from formal_cluster.policy.findings import Finding, Location
from formal_cluster.policy.syntax import Symbol

Step: TypeAlias = str | None
"""One step of a path below `input`; None when it may be any."""


class Read(NamedTuple):
    """A place of the input that a rule reads, with all that is below it.

    Attributes:
        steps: At most entity, counter and window; before the window may be a bound of the count.
        at: Where `input` and each step is written, so one longer than `steps`.
    """

    rule: Symbol
    steps: tuple[Step, ...]
    at: tuple[Location, ...]


class Threshold(NamedTuple):
    """A comparison of a place with a number, e.g. `> 5`."""

    steps: tuple[Step, ...]
    comparison: str
    at: Location


class Escape(NamedTuple):
    """A place, or all below it, goes where more than comparisons with numbers is made of it."""

    rule: Symbol
    steps: tuple[Step, ...]
    at: Location


class Beyond(NamedTuple):
    """A step further than there can be anything if the place is a counter's window."""

    steps: tuple[Step, ...]
    step: Step
    at: Location


@dataclass(slots=True)
class Reads:
    """All that a policy and its libraries read.

    Attributes:
        places: What is read, by which rule and where.
        paths: Every input path that occurs, whether read whole or only looked at.
        thresholds: Which numbers are compared with what.
        escapes: What is not only compared with numbers.
        beyond: What is read below places that are not followed any further.
        constants: Every string that occurs: names of windows may be put together from them.
        calls: For each rule, the rules and functions it refers to.
        builtins: Functions called that the policy does not define, and where.
        defined: For each rule, where it is defined first.
        findings: References that lead nowhere.
    """

    places: set[Read] = field(default_factory=set)
    paths: set[tuple[Step, ...]] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)
    thresholds: set[Threshold] = field(default_factory=set)
    escapes: set[Escape] = field(default_factory=set)
    beyond: set[Beyond] = field(default_factory=set)
    calls: defaultdict[Symbol, set[Symbol]] = field(default_factory=lambda: defaultdict(set))
    builtins: set[tuple[str, Location]] = field(default_factory=set)
    defined: dict[Symbol, Location] = field(default_factory=dict)
    findings: set[Finding] = field(default_factory=set)

    def reachable(self, roots: Iterable[Symbol]) -> frozenset[Symbol]:
        """The rules that evaluating `roots` may involve, those defined among them included."""
        seen: set[Symbol] = set()
        waiting = [root for root in roots if root in self.defined]
        while waiting:
            symbol = waiting.pop()
            if symbol not in seen:
                seen.add(symbol)
                waiting.extend(self.calls.get(symbol, ()))
        return frozenset(seen)
