"""What a step did, what was expected, what was seen."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Outcome(enum.StrEnum):
    """How a step ended."""

    PASS = "pass"
    FAIL = "fail"
    TOO_SLOW = "too slow"
    """Something did not hold, but only after the window had passed: it proves nothing."""
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation. `void`: it failed when it no longer had to hold."""

    what: str
    expected: Any
    seen: Any
    held: bool
    void: bool = False


class Step:
    """The record of one step, filled while it runs."""

    def __init__(self, number: int, title: str) -> None:
        self.number = number
        self.title = title
        self.done: list[str] = []
        self.checks: list[Check] = []
        self.members: dict[str, list[Mapping[str, Any]]] = {}
        self.seconds: float | None = None

    def did(self, text: str) -> None:
        """Something was done."""
        self.done.append(text)

    def check(
        self,
        what: str,
        *,
        expected: Any,
        seen: Any,
        held: bool | None = None,
        valid_until: float = float("inf"),
    ) -> None:
        """Something was expected.

        Args:
            held: Whether it held; default: whether `seen` equals `expected`.
            valid_until: After this moment (monotonic clock) it did not have to hold any more: if
                it did not, the machine was too slow, and nothing is known of the product.
        """
        ok = expected == seen if held is None else held
        late = time.monotonic() > valid_until
        self.checks.append(Check(what, expected, seen, held=ok, void=late and not ok))

    def show_members(self, label: str, view: Mapping[str, Any]) -> None:
        """The members as one instance sees them now."""
        leader = view.get("leader")
        members = sorted(view["members"], key=lambda m: str(m["id"]))
        self.members[label] = [{**m, "leader": m["id"] == leader} for m in members]

    @property
    def outcome(self) -> Outcome:
        """The verdict so far."""
        failed = [check for check in self.checks if not check.held]
        if not self.checks:
            return Outcome.NOT_RUN
        if not failed:
            return Outcome.PASS
        return Outcome.TOO_SLOW if all(check.void for check in failed) else Outcome.FAIL
