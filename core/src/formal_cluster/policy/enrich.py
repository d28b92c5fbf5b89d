"""The counters that one request touches, and the input with their values in it. Pure.

    touched = plan(document, stage, uses)
    attempt = counters.attempt(touched.hits)
    document, readings = touched.fill(attempt.counts, counters.peek(touched.looks))

A counter is touched when its entity is in the input. What cannot be counted (nobody to count it
for, an entity without a name) is an error and not a missing value: to Rego a missing value is
undefined, and the policy would let the access through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from formal_cluster.errors import InputError
from formal_cluster.model import (
    Count,
    CounterKey,
    CounterRead,
    CounterReading,
    Grade,
    OnDegraded,
    Stage,
)
from formal_cluster.policy.analyse import CounterUse
from formal_cluster.policy.bounds import upper_bound
from formal_cluster.protocols import PolicyInput

_USER_FIELDS = ("id", "username", "email")
_ENTITY_FIELDS = ("id", "name")


class Touch(NamedTuple):
    """One counter that a request touches."""

    use: CounterUse
    read: CounterRead


class Touched(NamedTuple):
    """The counters that one request touches.

    Attributes:
        counted: Those on which the request is a hit: its stage is one of the counter's.
        observed: Those that are only read.
    """

    document: PolicyInput
    counted: tuple[Touch, ...]
    observed: tuple[Touch, ...]

    @property
    def hits(self) -> list[CounterRead]:
        """What to attempt."""
        return [touch.read for touch in self.counted]

    @property
    def looks(self) -> list[CounterRead]:
        """What to peek at."""
        return [touch.read for touch in self.observed]

    @property
    def grade(self) -> Grade | None:
        """The strictest grade of the counters touched; None when there are none."""
        grade = None
        for touch in self.counted + self.observed:
            declared = touch.use.counter.grade
            if declared is Grade.STRICT:
                return declared
            if grade is not Grade.RESERVED:
                grade = declared
        return grade

    def paths(self, on_degraded: OnDegraded) -> list[str]:
        """The counters touched that do `on_degraded` while the shared state is out of reach."""
        return [
            touch.use.path
            for touch in self.counted + self.observed
            if touch.use.counter.on_degraded is on_degraded
        ]

    def fill(
        self,
        hit_counts: Sequence[Sequence[Count]],
        look_counts: Sequence[Sequence[Count]] = (),
        *,
        degraded: bool = False,
        unseen: int | None = 0,
        in_log_order: bool = False,
    ) -> tuple[PolicyInput, tuple[CounterReading, ...]]:
        """The input with the counters in it, and the same values for the decision.

        Whatever the caller had put in a counter's place is overwritten. The document given to
        `plan` stays as it is; what is not on the way to a counter is shared with it.

        Args:
            hit_counts: For each of `hits`, the counts before the present attempt, which is added.
            look_counts: For each of `looks`, its counts.
            degraded: The shared state is out of reach: counters with `on_degraded = "allow"` read
                as zero.
            unseen: How many other instances may have counted what is not in the counts.
            in_log_order: Whether `hit_counts` are those before the attempt in the log, which
                leave nothing out.
        """
        unseen_hits = 0 if in_log_order else unseen
        document = self.document.copy()
        readings: list[CounterReading] = []
        for touch, counts in zip(self.counted, hit_counts, strict=True):
            readings += _place(document, touch, counts, 1, unseen_hits, degraded=degraded)
        for touch, counts in zip(self.observed, look_counts, strict=True):
            readings += _place(document, touch, counts, 0, unseen, degraded=degraded)
        return document, tuple(readings)


def plan(document: object, stage: Stage, uses: Iterable[CounterUse]) -> Touched:
    """Which counters a request at `stage` touches, and for whom.

    Args:
        document: The input, a JSON object, with the fields of all enrichers.
        uses: `PolicySet.uses_at(stage)`.

    Raises:
        InputError: The input is no object (`input_not_an_object`); a counter is touched and there
            is no user (`missing_user`), its entity has neither id nor name (`missing_entity`), is
            a list (`entity_is_a_list`), or another part of the subject is missing
            (`missing_subject`).
    """
    if not isinstance(document, dict):
        raise InputError(
            f"the input must be a JSON object, not {type(document).__name__}",
            code="input_not_an_object",
        )
    counted: list[Touch] = []
    observed: list[Touch] = []
    for use in uses:
        entity = document.get(use.entity)
        if entity is None or not (use.explicit or _is_named_object(use.entity, entity)):
            continue
        key = CounterKey(use.name, _subject(document, use))
        counter = use.counter
        read = CounterRead(key, use.windows, counter.count_denied, use.thresholds, counter.block)
        touch = Touch(use, read)
        (counted if stage in use.counted_at else observed).append(touch)
    return Touched(document, tuple(counted), tuple(observed))


def _place(
    document: PolicyInput,
    touch: Touch,
    counts: Sequence[Count],
    present: int,
    unseen: int | None,
    *,
    degraded: bool,
) -> list[CounterReading]:
    """Put one counter into a document that is ours, below an entity that becomes ours."""
    use, read = touch
    if degraded and use.counter.on_degraded is OnDegraded.ALLOW:
        counts, present, unseen = [Count(0)] * len(counts), 0, 0
    readings: list[CounterReading] = []
    values: dict[str, int | dict[str, int]] = {}
    for path, window, known, count in zip(
        use.paths, read.windows, use.thresholds, counts, strict=True
    ):
        upper = value = values[window.name] = count.value + present
        if unseen != 0:
            upper = upper_bound(value, known, unseen)
        lower = value - count.doubtful
        readings.append(
            CounterReading(path, read.key, window.name, value, count.exact, lower, upper, known)
        )
    for bound in use.bounds:
        values[bound] = {reading.window: getattr(reading, bound) for reading in readings}
    entity = document[use.entity]
    # A plain value becomes the name of an object, which a counter can hang below.
    opened = entity.copy() if isinstance(entity, dict) else {"name": entity}
    opened[use.counter.name] = values
    document[use.entity] = opened
    return readings


# ── subjects ─────────────────────────────────────────────────────────────────────────────────


def _subject(document: PolicyInput, use: CounterUse) -> tuple[str, ...]:
    return tuple([_part(document, use, field) for field in use.counter.subject])


def _part(document: PolicyInput, use: CounterUse, field: str) -> str:
    if field == "user" or (field == "entity" and use.entity == "user"):
        found = _first(document.get("user"), _USER_FIELDS)
        if found is None:
            raise InputError(
                f"{use.path} is counted for a user, and the input has none of user.id, "
                "user.username and user.email; pass one, as a non-empty string or a whole number",
                code="missing_user",
            )
    elif field == "entity":
        found = _entity_name(document[use.entity], use)
    else:
        found = _identity(_at(document, field))
        if found is None:
            raise InputError(
                f"{use.path} is counted by input.{field.removeprefix('input.')}, which is missing "
                "or is neither a non-empty string nor a whole number",
                code="missing_subject",
            )
    return found


def _entity_name(entity: Any, use: CounterUse) -> str:
    if isinstance(entity, list | tuple):
        raise InputError(
            f"input.{use.entity} is a list, and {use.path} counts for one entity; ask for a "
            "decision for each of them",
            code="entity_is_a_list",
        )
    found = _first(entity, _ENTITY_FIELDS) if isinstance(entity, dict) else _identity(entity)
    if found is None:
        raise InputError(
            f"input.{use.entity} cannot be told from others: {use.path} needs its id or name, as "
            "a non-empty string or a whole number",
            code="missing_entity",
        )
    return found


def _is_named_object(name: str, entity: Any) -> bool:
    fields = _USER_FIELDS if name == "user" else _ENTITY_FIELDS
    return isinstance(entity, dict) and _first(entity, fields) is not None


def _first(value: Any, fields: Iterable[str]) -> str | None:
    """The first of an object's fields that identifies anything."""
    if isinstance(value, dict):
        for field in fields:
            found = value.get(field)
            if type(found) is str:  # nearly always; it saves the call
                if found:
                    return found
            elif found is not None:
                identity = _identity(found)
                if identity is not None:
                    return identity
    return None


def _identity(value: Any) -> str | None:
    """A value that can tell one subject from another. True and "" cannot."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _at(document: Any, path: str) -> Any:
    """The value at a dotted path; None when there is nothing."""
    for step in path.removeprefix("input.").split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(step)
    return document
