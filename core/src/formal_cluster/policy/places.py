"""Places in `input` and `data`, and the book kept of which values may be which place.

One `Places` belongs to one interpretation. Its bindings only ever grow, over as many rounds as it
takes until a round changes nothing; what is read is noted anew in each round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from formal_cluster.model import BOUNDS
from formal_cluster.policy.findings import Finding, Location
from formal_cluster.policy.reads import Beyond, Escape, Read, Reads, Step, Threshold
from formal_cluster.policy.syntax import Rule, Symbol

_INPUT_DEPTH = 3


class Place(NamedTuple):
    """Something below `input` or `data`, and where the root and each step are written."""

    root: str
    steps: tuple[Step, ...]
    at: tuple[Location, ...]


class Constant(NamedTuple):
    """A string known beforehand; None for a value that is no place and not known."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Number:
    """A number written out. No named tuple: one would be equal to the `Constant` of its text."""

    text: str


Item: TypeAlias = Place | Constant | Number
Value: TypeAlias = frozenset[Item]
"""What an expression may stand for; empty for a variable that ranges over anything."""

UNKNOWN = Constant(None)
OPAQUE: Value = frozenset({UNKNOWN})


class Places:
    """What each name and rule may stand for, and what has been read.

    Attributes:
        reads: What this round has noted.
        current: The rule being interpreted.
        arity: The number of arguments of each function.
    """

    def __init__(self, rules: Sequence[Rule], results: frozenset[Symbol]) -> None:
        self.reads = Reads()
        self.current: Symbol = ()
        self.arity = {rule.symbol: len(rule.args) for rule in rules if rule.function}
        self._symbols = {rule.symbol for rule in rules}
        self._incomplete = {rule.symbol for rule in rules if not rule.complete} | results
        self._bound: defaultdict[object, set[Item]] = defaultdict(set)
        self._changed = True

    def rounds(self) -> Iterator[None]:
        """Yields until a round has changed nothing."""
        while self._changed:
            self._changed = False
            self.reads = Reads()
            yield

    def get(self, key: object) -> Value:
        """What is bound to a variable, rule or argument."""
        return frozenset(self._bound[key])

    def bind(self, key: object, value: Value) -> None:
        """Note that `key` may stand for `value` too."""
        self._note_calls(value)
        if not value <= self._bound[key]:
            self._bound[key] |= value
            self._changed = True

    def give(self, symbol: Symbol, value: Value) -> None:
        """Note a value that a rule takes on."""
        if symbol in self._incomplete:
            self.consume(value)
        else:
            self.bind(symbol, value)

    def extend(self, value: Value, step: Step, at: Location) -> Value:
        """Go one step down from every place that `value` may be."""
        result: set[Item] = set()
        for item in value:
            if not isinstance(item, Place):
                result.add(UNKNOWN)
            elif is_full(item):
                self.reads.beyond.add(Beyond(item.steps, step, at))
                result.add(item)
            else:
                place = Place(item.root, (*item.steps, step), (*item.at, at))
                if place.root == "data":
                    result |= self._resolve(place)
                else:
                    result.add(place)
                    if is_full(place):
                        self.read(place)
        return frozenset(result)

    def _resolve(self, place: Place) -> set[Item]:
        """What a place in `data` stands for: rules' values, or a package to go further into."""
        result: set[Item] = set()
        defined = False
        for symbol in self.below(place.steps):
            defined = True
            if len(symbol) > len(place.steps):
                result.add(place)
                continue
            self.reads.calls[self.current].add(symbol)
            result |= {UNKNOWN} if symbol in self._incomplete else self._bound[symbol]
        if not defined:
            path = ".".join(("data", *(step or "*" for step in place.steps)))
            self.reads.findings.add(
                Finding(
                    place.at[-1],
                    f"no library of this set defines {path}, so this is always undefined; define "
                    "it in a package other than formal.v2, whose files do not see each other",
                )
            )
            result.add(UNKNOWN)
        return result

    def below(self, steps: tuple[Step, ...]) -> Iterator[Symbol]:
        """The rules at a path in `data` and below it."""
        for symbol in self._symbols:
            if len(symbol) >= len(steps) and all(
                step is None or step == name for step, name in zip(steps, symbol, strict=False)
            ):
                yield symbol

    def read(self, place: Place) -> None:
        """Note that the current rule reads an input place and all below it."""
        self.reads.places.add(Read(self.current, place.steps, place.at))
        self.reads.paths.add(place.steps)

    def consume(self, value: Value) -> None:
        """The value goes somewhere opaque: all that is below it is read."""
        self._note_calls(value)
        seen: set[Place] = set()
        waiting = [item for item in value if isinstance(item, Place)]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            if place.root == "input":
                self.read(place)
                self._escape(place)
                continue
            for symbol in self.below(place.steps):
                waiting.extend(i for i in self._bound[symbol] if isinstance(i, Place))

    def look_at(self, value: Value) -> Value:
        """The value is tested or compared, which reads no counter inside an entity."""
        self._note_calls(value)
        for item in value:
            if isinstance(item, Place) and item.root == "input" and item.steps:
                self.reads.paths.add(item.steps)
                if len(item.steps) > 1:
                    self.read(item)
        return OPAQUE

    def use(self, value: Value) -> Value:
        """The value is looked at, and what is made of it depends on more than comparisons."""
        for item in value:
            if isinstance(item, Place) and item.root == "input" and len(item.steps) > 1:
                self._escape(item)
        return self.look_at(value)

    def compare(self, value: Value, comparison: str, other: Value) -> None:
        """The value is compared with another."""
        self.look_at(value)
        numbers = [item for item in other if isinstance(item, Number)]
        for item in value:
            if not isinstance(item, Place) or item.root != "input":
                continue
            if len(item.steps) >= _INPUT_DEPTH:
                self.reads.thresholds |= {
                    Threshold(item.steps, f"{comparison} {number.text}", item.at[-1])
                    for number in numbers
                }
            if len(item.steps) > 1 and not 0 < len(numbers) == len(other):
                self._escape(item)

    def _escape(self, place: Place) -> None:
        self.reads.escapes.add(Escape(self.current, place.steps, place.at[-1]))

    def _note_calls(self, value: Value) -> None:
        """Where a package is not gone further into, all its rules are evaluated."""
        for item in value:
            if isinstance(item, Place) and item.root == "data":
                self.reads.calls[self.current].update(self.below(item.steps))


def is_full(place: Place) -> bool:
    """Whether a place is as far below `input` as is followed: to a window, of a bound too."""
    depth = len(place.steps)
    if place.root != "input" or depth < _INPUT_DEPTH:
        return False
    return depth > _INPUT_DEPTH or place.steps[-1] not in BOUNDS


def union(values: Iterable[Value]) -> Value:
    """All that any of several expressions may stand for."""
    return frozenset(item for value in values for item in value)
