"""Which faults there are, and in which order a seed brings them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What is done to an instance."""

    KILL = "SIGKILL of an instance and its etcd"
    KILL_ETCD = "SIGKILL of an etcd"
    KILL_TWO_ETCDS = "SIGKILL of two etcds at once"
    PAUSE = "SIGSTOP of an instance"
    PAUSE_ETCD = "SIGSTOP of an etcd"
    CUT = "network partition of an instance"
    SET_CLOCK = "wall clock set while running"


SKEWS_S: Final = (10, -10, 10_800, -10_800)
"""What the third instance's wall clock is off by, one after the other. It begins with the first."""
_LENGTHS_S: Final = {
    Kind.KILL: (0.5, 4.0),
    Kind.KILL_ETCD: (0.2, 1.0),
    Kind.KILL_TWO_ETCDS: (0.2, 1.0),
    Kind.PAUSE: (0.5, 6.0),
    Kind.PAUSE_ETCD: (0.5, 4.0),
    Kind.CUT: (1.0, 6.0),
}


class Fault(NamedTuple):
    """One fault.

    Attributes:
        target: Index of the instance; the third one for the wall clock.
        length_s: How long it lasts. An etcd that is killed is started again by its supervisor.
        pause_s: How long nothing is done afterwards.
        skew_s: What the wall clock is then off by.
    """

    kind: Kind
    target: int
    length_s: float
    pause_s: float
    skew_s: int = 0


def faults(seed: int, kinds: list[Kind]) -> Iterator[Fault]:
    """Without end; each kind once in every round."""
    randomness = random.Random(seed)
    skews = 0
    while True:
        for kind in randomness.sample(kinds, len(kinds)):
            target = randomness.randrange(3)
            length_s = randomness.uniform(*_LENGTHS_S.get(kind, (0.0, 0.0)))
            pause_s = randomness.uniform(0.2, 1.5)
            if kind is Kind.SET_CLOCK:
                skews += 1
                skew_s = SKEWS_S[skews % len(SKEWS_S)]
                yield Fault(kind, 2, 0.0, pause_s, skew_s)
            else:
                yield Fault(kind, target, length_s, pause_s)
