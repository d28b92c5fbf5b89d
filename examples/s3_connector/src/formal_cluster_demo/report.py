"""Show the steps: as text for people, as JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from formal_cluster_demo.step import Outcome, Step

_COLOUR = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.TOO_SLOW: "yellow",
    Outcome.NOT_RUN: "yellow",
}


class Report(Protocol):
    """Where the steps are shown."""

    def begun(self, step: Step) -> None:
        """A step starts."""
        ...

    def ended(self, step: Step) -> None:
        """A step is complete."""
        ...

    def summary(self, steps: Sequence[Step], seconds: float) -> None:
        """All is over."""
        ...


def held(steps: Sequence[Step]) -> bool:
    """Whether every step held."""
    return all(step.outcome is Outcome.PASS for step in steps)


class JsonReport:
    """One object for each step, then one with the summary."""

    def begun(self, step: Step) -> None:
        """Nothing: a step is one object."""

    def ended(self, step: Step) -> None:
        """Print the step."""
        click.echo(json.dumps(_document(step)))

    def summary(self, steps: Sequence[Step], seconds: float) -> None:
        """Print the verdict."""
        outcomes = {step.title: step.outcome for step in steps}
        click.echo(
            json.dumps({"held": held(steps), "seconds": round(seconds, 1), "steps": outcomes})
        )


class TextReport:
    """Rich tables on the terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def begun(self, step: Step) -> None:
        """Print the title at once: some steps take a while."""
        self._console.print(f"\n[bold]{step.number}. {escape(step.title)}[/]")

    def ended(self, step: Step) -> None:
        """Print what was done, expected and seen."""
        for action in step.done:
            self._console.print(f"   {escape(action)}")
        for label, members in step.members.items():
            if members:
                self._indented(_members_table(label, members))
        table = Table("", "checked", box=box.SIMPLE_HEAD)
        for value in ("expected", "seen"):
            table.add_column(value, overflow="fold")
        for check in step.checks:
            mark = "[green]✓[/]" if check.held else "[red]✗[/]"
            cells = (check.what, _text(check.expected), _text(check.seen))
            table.add_row(mark, *map(escape, cells))
        self._indented(table)
        self._console.print(f"   {_verdict(step.outcome)} in {step.seconds or 0:.1f} s")
        if step.outcome is Outcome.TOO_SLOW:
            self._console.print("   The window had passed before the check: it proves nothing.")

    def summary(self, steps: Sequence[Step], seconds: float) -> None:
        """Print all verdicts and the total."""
        self._console.print()
        for step in steps:
            self._console.print(f"{_verdict(step.outcome)}  {step.number}. {escape(step.title)}")
        verdict = "every step held" if held(steps) else "not every step held"
        self._console.print(f"[bold]{verdict}, {seconds:.0f} s[/]")

    def _indented(self, table: Table) -> None:
        self._console.print(Padding(table, (0, 0, 0, 2)))


def _document(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "title": step.title,
        "outcome": step.outcome,
        "seconds": round(step.seconds or 0, 1),
        "done": step.done,
        "checks": [asdict(check) for check in step.checks],
        "members": step.members,
    }


def _members_table(label: str, members: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(f"members {label}", "address", "role", "healthy", "leader", box=box.SIMPLE_HEAD)
    health = {True: "yes", False: "[red]no[/]", None: "?"}
    for m in members:
        leads = "*" if m["leader"] else ""
        table.add_row(m["id"], m["address"], m["role"], health[m["healthy"]], leads)
    return table


def _verdict(outcome: Outcome) -> str:
    return f"[{_COLOUR[outcome]}]{outcome.upper()}[/]"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
