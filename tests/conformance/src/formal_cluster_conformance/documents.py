"""The tables of docs/conformance.md that are made by programs: what the rules are, what the zoo
showed, and what the kept reports say. Each stands between two markers there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from formal_cluster_conformance.rules import Profile, Rule, catalogue
from formal_cluster_conformance.zoo.calibrate import Catch


def rules_tables() -> str:
    """The rules of every profile."""
    parts = []
    for profile in Profile:
        parts += [f"### Profile `{profile}`", "", "| rule | demands | needs |", "|---|---|---|"]
        parts += [_row(rule) for rule in catalogue(profile)]
        parts.append("")
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    needs = [f"`{need}`" for need in sorted(map(str, rule.needs))]
    needs += [f"fault `{fault}`" for fault in sorted(rule.faults)]
    if rule.instances > 1:
        needs.append(f"{rule.instances} instances")
    return f"| {rule.id} | {rule.text} | {', '.join(needs)} |"


def zoo_table(catches: Sequence[Catch]) -> str:
    """How often each wrong driver was caught."""
    rows = [
        f"| {catch.name} | {catch.fault} | {catch.rule} | "
        f"{len(catch.caught)} of {len(catch.caught) + len(catch.otherwise)} |"
        for catch in catches
    ]
    return "\n".join(
        ["| wrong driver | its fault | rule | caught |", "|---|---|---|---|", *rows, ""]
    )


def reports_table(directory: Path) -> str:
    """The reports of a directory, which the document calls by the directory's name."""
    rows = ["| driver | | rules met | seconds | run on |", "|---|---|---|---|---|"]
    for path in sorted(directory.glob("*.json")):
        report = json.loads(path.read_text())
        met = sum(rule["status"] == "passed" for rule in report["rules"])
        levels = ", ".join(
            f"`{profile}` **{level}**" for profile, level in report["levels"].items()
        )
        quick = ", quick form" if report["run"]["quick"] else ""
        rows.append(
            f"| [{path.stem}]({directory.name}/{path.stem}.md) | {levels} "
            f"| {met} of {len(report['rules'])} "
            f"| {report['run']['seconds']:.0f}{quick} | {report['run']['started'][:10]} |"
        )
    return "\n".join(rows)


def replaced(text: str, name: str, table: str) -> str:
    """The document with the table between the markers `name`.

    Raises:
        ValueError: It has no such markers.
    """
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the document has no markers {begin.strip()} and {end}")
    return f"{before}{begin}\n{table.strip()}\n\n{end}{after}"
