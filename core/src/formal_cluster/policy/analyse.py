"""Which counters a policy set needs, and which it misspells.

A counter is kept only where a policy reads it, so the policies themselves declare what is counted.
A read that can never find a counter is an error here: in Rego it would be undefined, and the rule
around it would silently never fire.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain

from formal_cluster.errors import ConfigError
from formal_cluster.model import BOUNDS, Stage, Window
from formal_cluster.policy.findings import Finding, Location
from formal_cluster.policy.reads import Read, Reads, Step
from formal_cluster.policy.thresholds import Asked, escapes_of, known_thresholds
from formal_cluster.settings import CounterSettings

POLICY_PACKAGE = ("formal", "v2")
STANDARD_WINDOWS = tuple(
    Window.parse(name) for name in ("last_second", "last_minute", "last_hour", "last_day")
)
_UNITS = ("second", "minute", "hour", "day")
_WINDOW_LIKE = re.compile(r"last_(?P<number>\d+_)?(?P<unit>[a-z]+)")


@dataclass(frozen=True, slots=True)
class CounterUse:
    """A counter that the policies of a set read below one entity of the input.

    Attributes:
        entity: The input field it hangs below.
        windows: Those read, shortest first.
        explicit: Whether some policy names entity and counter. If not, the counter is merely
            within reach of something that reads whole entities, and an entity that it cannot hang
            below is left as it is.
        stages: Stages at which a policy may read it.
        locations: Where it is read.
        comparisons: What it is compared with, e.g. "last_minute > 5".
        thresholds: For each of `windows`, the counts at which a policy may change its mind, in
            order; None if they are not known. See `policy.thresholds`.
        escapes: Where something else than comparisons is made of a value, so that thresholds are
            not known.
        bounds: Those of the count that policies read, of `BOUNDS`.
        counted_at: Stages at which an access is a hit on it.
        name: What its keys are called, e.g. `bucket.access_count`: counts of different entities
            are different counts.
        paths: Where policies find each of `windows`.
    """

    entity: str
    counter: CounterSettings
    windows: tuple[Window, ...]
    explicit: bool
    stages: frozenset[Stage]
    locations: tuple[Location, ...]
    comparisons: tuple[str, ...] = ()
    thresholds: tuple[tuple[int, ...] | None, ...] = ()
    escapes: tuple[Location, ...] = ()
    bounds: tuple[str, ...] = ()
    counted_at: frozenset[Stage] = field(init=False, repr=False)
    name: str = field(init=False)
    paths: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Decisions are made by the ten thousand a second; what never changes is worked out once.
        counted_at = frozenset(stage for stage in Stage if self.counter.counts_at(stage))
        object.__setattr__(self, "counted_at", counted_at)
        object.__setattr__(self, "name", f"{self.entity}.{self.counter.name}")
        paths = tuple(f"{self.path}.{window.name}" for window in self.windows)
        object.__setattr__(self, "paths", paths)
        if not self.thresholds:
            object.__setattr__(self, "thresholds", (None,) * len(self.windows))

    @property
    def path(self) -> str:
        """Where policies find it, e.g. `input.bucket.access_count`."""
        return f"input.{self.name}"


@dataclass
class _Gathered:
    """A `CounterUse` in the making."""

    windows: set[Window] = field(default_factory=set)
    explicit: bool = False
    stages: set[Stage] = field(default_factory=set)
    locations: set[Location] = field(default_factory=set)
    bounds: set[str] = field(default_factory=set)


class Declared:
    """The counters that the settings declare.

    Raises:
        ConfigError: Two of them have the same name and entity.
    """

    def __init__(self, counters: Sequence[CounterSettings]) -> None:
        self._by_place: dict[tuple[str, str], CounterSettings] = {}
        for counter in counters:
            if (counter.entity, counter.name) in self._by_place:
                raise ConfigError(
                    f"counter: {counter.name!r} is declared twice for entity {counter.entity!r}; "
                    "keep one of the [[counter]] tables"
                )
            self._by_place[counter.entity, counter.name] = counter
        self.names = tuple(dict.fromkeys(counter.name for counter in counters))
        self.entities = frozenset(c.entity for c in counters if c.entity != "*")

    def get(self, entity: str, name: str) -> CounterSettings | None:
        """The counter of that name below `entity`; one declared for it goes before `*`."""
        return self._by_place.get((entity, name)) or self._by_place.get(("*", name))

    def somewhere(self, entity: Step, name: str) -> bool:
        """Whether there is a counter of that name below `entity`, or below any if it is None."""
        return name in self.names if entity is None else self.get(entity, name) is not None


def find_uses(policies: Sequence[Reads], declared: Declared) -> tuple[CounterUse, ...]:
    """The counters that a set reads, ordered by path. Reads that no stage reaches don't count."""
    entities = _entities(policies, declared)
    windows = {*STANDARD_WINDOWS, *_named_windows(policies)}
    gathered: dict[tuple[str, str], _Gathered] = {}
    asked: list[Asked] = []
    for reads in policies:
        reached = {stage: reads.reachable(stage_symbols(stage)) for stage in Stage}
        asked.append(Asked(reads, frozenset(chain.from_iterable(reached.values()))))
        for read in reads.places:
            stages = {stage for stage, rules in reached.items() if read.rule in rules}
            read_windows = _windows(read, windows)
            if not stages or not read_windows:
                continue
            for place in _expand(read, entities, declared):
                use = gathered.setdefault(place, _Gathered())
                use.windows |= read_windows
                use.explicit |= None not in read.steps[:2] and len(read.steps) > 1
                use.stages |= stages
                use.locations.add(read.at[-1])
                use.bounds |= {step for step in read.steps[2:3] if step in BOUNDS}
    return tuple(_use(place, use, declared, asked) for place, use in sorted(gathered.items()))


def misspelt(policies: Sequence[Reads], declared: Declared) -> Iterator[Finding]:
    """Reads that look like a counter's and can never find one."""
    entities = _entities(policies, declared)
    for read in chain.from_iterable(reads.places for reads in policies):
        if len(read.steps) < 3:
            continue
        entity, name = read.steps[:2]
        window = _window_step(read.steps)
        if name is None or window is None:
            continue
        if declared.somewhere(entity, name):
            message = _window_error(window)
            if message:
                yield Finding(read.at[-1], message)
            if entity is None and not entities:
                yield Finding(read.at[2], f"{name} of which entity? Name one, e.g. input.bucket")
        elif _means_counter(name, window, declared):
            yield Finding(read.at[2], _counter_error(entity or "*", name, declared))


def stage_symbols(stage: Stage) -> Iterator[tuple[str, ...]]:
    """The rules that a policy may define for a stage."""
    return ((*POLICY_PACKAGE, rule) for rule in stage.rules)


def _entities(policies: Sequence[Reads], declared: Declared) -> list[str]:
    """What a read of any entity may mean: those named in the set or in the settings."""
    named = {path[0] for reads in policies for path in reads.paths if path and path[0]}
    return sorted(declared.entities | named)


def _expand(read: Read, entities: Iterable[str], declared: Declared) -> Iterator[tuple[str, str]]:
    """The declared counters that a read may come across, as (entity, name)."""
    entity, name = (*read.steps, None, None)[:2]
    for candidate in entities if entity is None else (entity,):
        for counter in declared.names if name is None else (name,):
            if declared.get(candidate, counter) is not None:
                yield candidate, counter


def _windows(read: Read, within_reach: set[Window]) -> set[Window]:
    name = _window_step(read.steps)
    if name is None:
        return within_reach
    window = _parse(name)
    return {window} if window else set()


def _window_step(steps: Sequence[Step]) -> Step:
    """The window that a place is of, or has a bound of; None if it may be any."""
    below = steps[3:] if steps[2:3] and steps[2] in BOUNDS else steps[2:]
    return below[0] if below else None


def _named_windows(policies: Sequence[Reads]) -> Iterator[Window]:
    for reads in policies:
        for constant in reads.constants:
            window = _parse(constant)
            if window:
                yield window


def _parse(name: str) -> Window | None:
    try:
        return Window.parse(name)
    except ConfigError:
        return None


def _use(
    place: tuple[str, str], use: _Gathered, declared: Declared, asked: Sequence[Asked]
) -> CounterUse:
    entity, name = place
    counter = declared.get(*place)
    assert counter is not None  # `_expand` yields no other
    windows = tuple(sorted(use.windows, key=lambda window: (window.length_ms, window.name)))
    comparisons = {
        f"{'.'.join(step or '*' for step in steps[2:])} {comparison}"
        for policy in asked
        for steps, comparison, _ in policy.reads.thresholds
        if steps[0] in {None, entity} and steps[1] in {None, name}
    }
    escapes = {
        at
        for policy in asked
        for window in windows
        for at in escapes_of(policy, entity, name, window)
    }
    return CounterUse(
        entity,
        counter,
        windows,
        use.explicit,
        frozenset(use.stages),
        tuple(sorted(use.locations)),
        tuple(sorted(comparisons)),
        tuple(known_thresholds(asked, entity, name, window) for window in windows),
        tuple(sorted(escapes)),
        tuple(sorted(use.bounds)),
    )


# ── what was meant ───────────────────────────────────────────────────────────────────────────


def _window_error(name: str) -> str:
    try:
        Window.parse(name)
    except ConfigError as error:
        (bound,) = get_close_matches(name, BOUNDS, n=1, cutoff=0.7) or (None,)
        meant = bound or _nearest_window(name)
        return f"{error}; did you mean {meant}?" if meant not in {None, name} else str(error)
    return ""


def _counter_error(entity: str, name: str, declared: Declared) -> str:
    near = get_close_matches(name, declared.names, n=1, cutoff=0.7)
    if near == [name]:
        hint = "it is declared for other entities only"
    else:
        hint = f"did you mean {near[0]}?" if near else f"declared: {', '.join(declared.names)}"
    return (
        f"there is no counter input.{entity}.{name}, so this is always undefined; {hint} "
        f'A counter of your own needs a [[counter]] table with name = "{name}"'
    )


def _means_counter(name: str, window: str, declared: Declared) -> bool:
    """Whether `<name>.<window>` is meant for a counter, not for data such as `row.last_name`."""
    if _parse(window) is not None:
        return True
    return _nearest_window(window) is not None and bool(
        get_close_matches(name, declared.names, n=1, cutoff=0.7)
    )


def _nearest_window(name: str) -> str | None:
    """The valid window that `name` was probably meant to be."""
    match = _WINDOW_LIKE.fullmatch(name)
    near = get_close_matches(match["unit"], _UNITS, n=1, cutoff=0.65) if match else []
    if match is None or not near:
        return None
    number = match["number"] or ""
    return f"last_{number}{near[0]}{'s' if number else ''}"
