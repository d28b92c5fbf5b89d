"""A scenario: what happens to the cluster, and what that takes of the machine."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from formal_cluster_failover.run import Run


class Need(enum.StrEnum):
    """What not every machine has."""

    SANDBOX = "namespaces of its own"
    FAKETIME = "libfaketime"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that happens to a cluster.

    Attributes:
        name: Short, for the command line.
        title: For the report.
        needs: What it cannot run without.
        quick: Whether `make test` runs it.
    """

    name: str
    title: str
    play: Callable[[Run], Awaitable[None]]
    needs: frozenset[Need] = frozenset()
    quick: bool = False


class Scenarios(list[Scenario]):
    """The scenarios of one module, in order."""

    def add(
        self, name: str, title: str, *, needs: frozenset[Need] = frozenset(), quick: bool = False
    ) -> Callable[[Callable[[Run], Awaitable[None]]], Callable[[Run], Awaitable[None]]]:
        """Make the decorated function a scenario."""

        def register(play: Callable[[Run], Awaitable[None]]) -> Callable[[Run], Awaitable[None]]:
            self.append(Scenario(name, title, play, needs, quick))
            return play

        return register


SANDBOX = frozenset({Need.SANDBOX})
FAKETIME = frozenset({Need.FAKETIME})
