"""A report for people: what it amounts to, what is wrong, and how much was really tried."""

from __future__ import annotations

from formal_cluster_conformance.report.document import Document

_SIGNS = {
    "passed": "✔",
    "failed": "✘ failed",
    "error": "✘ error of the suite or the system",
    "inconclusive": "? inconclusive",
    "undeclared": "– not met, not declared",
    "skipped": "– not tried",
    "deselected": "– deselected",
}


def markdown(report: Document) -> str:
    """The report as text."""
    run, subject = report["run"], report["subject"]
    lines = [
        f"# Conformance of {subject['kind']} `{subject['name']}`",
        "",
        *(f"- profile `{profile}`: **{level}**" for profile, level in report["levels"].items()),
        f"- declares: {_names(report['capabilities']['declared'])}",
    ]
    for name, value in report["declaration"].items():
        shown = _names(value) if isinstance(value, list) else f"{value:g}"
        lines.append(f"- declared {name.replace('_', ' ')}: {shown}")
    for key, label in (
        ("failing", "declared, but failing"),
        ("passing_but_undeclared", "not declared, though nothing that was tried speaks against it"),
    ):
        if report["capabilities"][key]:
            lines.append(f"- {label}: {_names(report['capabilities'][key])}")
    for key, label in (("not_tried", "not tried"), ("overridden", "overridden")):
        if report[key]:
            lines.append(f"- {label}: {', '.join(report[key])}")
    lines += [
        f"- {'quick ' if run['quick'] else ''}run of {run['seconds']:.0f} s, {run['started']}, "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        f"- again: `{run['reproduce']}`",
        "",
        "| rule | | calls | overlapping | unknown | during faults | demanded |",
        "|---|---|---|---|---|---|---|",
        *(_row(rule) for rule in report["rules"]),
    ]
    wrong = [rule for rule in report["rules"] if rule["detail"] and rule["status"] != "deselected"]
    for rule in wrong:
        lines += ["", f"## {rule['id']}: {rule['status']}", "", rule["text"], ""]
        lines += ["```", rule["detail"], *rule["timeline"], "```"]
    return "\n".join(lines) + "\n"


def _row(rule: Document) -> str:
    evidence = rule["evidence"]
    during = ", ".join(f"{fault}: {count}" for fault, count in evidence["faults"].items())
    demanded = "; ".join(
        f"{demand['what']}: {demand['seen']} of {demand['at_least']}"
        for demand in evidence["demands"]
    )
    numbers = (evidence["operations"], evidence["overlapping"], evidence["unknown"])
    cells = [rule["id"], _SIGNS[rule["status"]], *(str(n) if n else "" for n in numbers)]
    return f"| {' | '.join([*cells, during, demanded])} |"


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
