"""Puts the results into docs/failover-report.md, below `report_head.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from formal_cluster_failover.execute import Result
from formal_cluster_failover.run import Measure

_HEAD = Path(__file__).with_name("report_head.md")


@dataclass(frozen=True, slots=True)
class Pass:
    """The scenarios, run once.

    Attributes:
        title: What was special: the etcd version, TLS.
        machine: What it ran on, and when.
    """

    title: str
    machine: str
    results: list[Result]


def document(passes: Sequence[Pass]) -> str:
    """The whole report."""
    parts = [_HEAD.read_text(), *(_section(each) for each in passes)]
    return "\n".join(parts)


def _section(run: Pass) -> str:
    played = [result for result in run.results if result.skipped is None]
    failed = [result for result in played if result.wrong]
    late = [result for result in played if not result.wrong and not result.holds]
    summary = (
        f"{run.machine} {len(played)} scenarios in {sum(r.seconds for r in played) / 60:.0f} min: "
        f"{len(failed)} failed, {len(late)} missed a target, "
        f"{sum(result.lost for result in played)} of "
        f"{sum(result.acknowledged for result in played)} acknowledged strict hits lost."
    )
    lines = [
        f"## {run.title}",
        "",
        summary,
        "",
        "| scenario | step | eventual | strict | took | refused | lost |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(row for result in run.results for row in _rows(result)),
        "",
    ]
    remarks = [remark for result in run.results for remark in _remarks(result)]
    return "\n".join([*lines, *remarks, ""]) if remarks else "\n".join(lines)


def _rows(result: Result) -> list[str]:
    if result.skipped is not None:
        return [f"| {result.title} | *not run: see below* | | | | | |"]
    title = f"**FAILED** {result.title}" if result.wrong else result.title
    lost = f"{result.lost} of {result.acknowledged}"
    if not result.measures:
        return [f"| {title} | | | | | | {lost} |"]
    rows = []
    for number, measure in enumerate(result.measures):
        first = number == 0
        refused = f"{measure.refused_eventual} + {measure.refused_strict}"
        rows.append(
            f"| {title if first else ''} | {measure.what} "
            f"| {_seconds(measure.eventual_s, measure.target.eventual_s)} "
            f"| {_seconds(measure.strict_s, measure.target.strict_s)} "
            f"| {_seconds(measure.took_s, measure.target.took_s)} "
            f"| {refused if measure.took_s is None else ''} | {lost if first else ''} |"
        )
    return rows


def _seconds(took: float | None, most: float | None) -> str:
    if took is None:
        return ""
    text = f"{took:.1f}"
    if most is None:
        return text
    text = f"{text} ({most:.0f})"
    return text if took <= most else f"**{text}**"


def _remarks(result: Result) -> list[str]:
    if result.skipped is not None:
        return [f"- *{result.title}*: not run, because {result.skipped}"]
    return [
        *(f"- *{result.title}*: **{_one_line(wrong)}**" for wrong in result.wrong),
        *(f"- *{result.title}*: {_one_line(note)}" for note in result.notes),
    ]


def _one_line(text: str) -> str:
    return text.splitlines()[0].replace("|", "\\|")


def line(measure: Measure) -> str:
    """A measure for the terminal."""
    parts = [
        f"{name} {_seconds(took, most)} s"
        for name, took, most in (
            ("eventual", measure.eventual_s, measure.target.eventual_s),
            ("strict", measure.strict_s, measure.target.strict_s),
            ("took", measure.took_s, measure.target.took_s),
        )
        if took is not None
    ]
    return f"{measure.what}: {', '.join(parts)}"
