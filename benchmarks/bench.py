"""What a benchmark is to the command: a module with `run(effort) -> Section`.

`benchmarks/__main__.py` lists them. A benchmark starts what it needs and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Chosen = frozenset[str]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure.

    Attributes:
        quick: A look whether everything works, below two minutes for all; its figures mean little.
        only: Names of the contestants to measure; empty for all.
    """

    quick: bool = False
    only: Chosen = frozenset()

    @property
    def rounds(self) -> int:
        """Alternating rounds: each contestant is visited once in each."""
        return 1 if self.quick else 3

    def seconds(self, full: float) -> float:
        """How long to measure what the full run measures for so long."""
        return full / 10 if self.quick else full


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are printed. The first column names things, the others hold figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of horizontal bars: groups of one bar for each series.

    Attributes:
        slug: The file's name, without its suffix.
        unit: What the axis counts, with its unit.
        series: The legend, in order.
        groups: A name and a value for each series; None draws nothing.
        linear: Whether the axis begins at 0; else it is logarithmic.
    """

    slug: str
    title: str
    unit: str
    series: Sequence[str]
    groups: Sequence[tuple[str, Sequence[float | None]]]
    linear: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What a benchmark has found.

    Attributes:
        rounds: How often each contestant was measured.
        markdown: What is no table, after the tables.
        raw: Everything that was measured, as JSON.
    """

    tables: Sequence[Table] = ()
    charts: Sequence[Bars] = ()
    rounds: int = 1
    markdown: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[Effort], Section]
