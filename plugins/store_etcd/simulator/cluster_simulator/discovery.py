"""What the platform knows of the instances, and what discovery tells each of them.

What is promised, and what the planners rest on:

- `STOPPED` is only said of an instance that is dead for good.
- A *complete* view names every instance that was there `view_lag_s` ago and lives.

Everything else may be: no answer, an empty one, one without the instance that asks, an incomplete
one, `UNKNOWN` or a stale `RUNNING` for any instance, an address of yesterday, a dead instance that
is still named, or not any more.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from formal_cluster.model import Instance, InstanceState


class Mode(enum.Enum):
    """How discovery answers one instance."""

    SOUND = enum.auto()
    SLOW = enum.auto()
    """It tells what was, as long ago as is allowed."""
    DOUBTFUL = enum.auto()
    """`UNKNOWN` for some; what has stopped is not always named so."""
    INCOMPLETE = enum.auto()
    EMPTY = enum.auto()
    WITHOUT_ME = enum.auto()
    FAILING = enum.auto()
    FLAPPING = enum.auto()
    """Each time another one of these."""


@dataclass(slots=True)
class Outlook:
    """How discovery answers one instance now, and the dice for it."""

    mode: Mode = Mode.SOUND
    dice: random.Random = field(default_factory=lambda: random.Random(0))


@dataclass(slots=True)
class Record:
    """What the platform knows of an instance.

    Attributes:
        addresses: Since when it has each of them.
        died_at: When it has stopped for good.
        proven_at: From when on the platform vouches for that; None: it never does.
        forgotten_at: From when on it is not named any more.
    """

    id: str
    born_at: float
    started_at: float
    zone: str
    addresses: list[tuple[float, str]]
    died_at: float | None = None
    proven_at: float | None = None
    forgotten_at: float | None = None

    def as_of(self, at: float) -> Instance | None:
        """What the platform said of it then."""
        if self.born_at > at or (self.forgotten_at is not None and self.forgotten_at <= at):
            return None
        address = [address for since, address in self.addresses if since <= at][-1]
        stopped = self.proven_at is not None and self.proven_at <= at
        return Instance(
            self.id,
            address,
            InstanceState.STOPPED if stopped else InstanceState.RUNNING,
            started_at=self.started_at,
            zone=self.zone,
        )


def ask(
    records: Sequence[Record], own_id: str, outlook: Outlook, now: float, lag_s: float
) -> tuple[tuple[Instance, ...], bool] | None:
    """The instances of a view and whether it is complete; None if there is no usable one."""
    dice, mode = outlook.dice, outlook.mode
    if mode is Mode.FLAPPING:
        mode = dice.choice([mode for mode in Mode if mode is not Mode.FLAPPING])
    if mode in (Mode.FAILING, Mode.EMPTY, Mode.WITHOUT_ME):
        return None
    at = now if mode is Mode.SOUND else now - dice.choice((0.0, lag_s / 2, lag_s))
    named = [i for r in records if (i := r.as_of(max(at, r.born_at) if r.id == own_id else at))]
    if mode is Mode.INCOMPLETE:
        named = [i for i in named if i.id == own_id or dice.random() < 0.6]
    if mode in (Mode.DOUBTFUL, Mode.INCOMPLETE):
        named = [_doubted(instance, own_id, dice) for instance in named]
    return tuple(sorted(named, key=lambda i: i.id)), mode is not Mode.INCOMPLETE


def _doubted(instance: Instance, own_id: str, dice: random.Random) -> Instance:
    if instance.id == own_id or dice.random() < 0.4:
        return instance
    return Instance(
        instance.id,
        instance.address,
        InstanceState.UNKNOWN,
        started_at=instance.started_at,
        zone=instance.zone,
    )
