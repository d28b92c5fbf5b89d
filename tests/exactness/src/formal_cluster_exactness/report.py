"""The result of a run as a page."""

from __future__ import annotations

from collections import Counter

from formal_cluster.model import Grade
from formal_cluster_exactness.checker import Verdict
from formal_cluster_exactness.run import Course, Options

_HEAD = """# Exactness under faults

Written by `make exactness`. What is checked, and how, is in the
[harness's README](../tests/exactness/README.md).

"""


def report(
    verdict: Verdict, course: Course, options: Options, *, versions: str, partitions: bool
) -> str:
    """Markdown."""
    decided = sum(verdict.admitted.values()) + sum(verdict.denied.values())
    lines = [
        _HEAD + f"{versions} Seed {options.seed}, grade `{options.grade}`, three instances with "
        f"{options.waiting} accesses waiting each, {course.seconds:.0f} s.\n",
        "| | |",
        "|---|---|",
        f"| decided | {decided:,} |",
        f"| admitted | {_by_limit(verdict.admitted)} |",
        f"| denied | {_by_limit(verdict.denied)} |",
        f"| refused (no decision within 2 s, or not caught up) | {verdict.refused:,} |",
        f"| records in the log | {verdict.records:,} |",
        f"| most admitted hits in any window | {_by_limit(verdict.worst)} |",
        f"| **overshoot** | {verdict.wrong['overshoot']} |",
        f"| **acknowledged hits lost** | {_lost(verdict)} |",
        f"| anything else wrong | {_else(verdict)} |",
        *(_of_places(verdict) if options.grade == Grade.STRICT else ()),
        "",
        "| fault | times | while others decided | decisions until all decided again |",
        "|---|---|---|---|",
    ]
    for kind in sorted({played.fault.kind for played in course.played}):
        answers = [p.answers for p in course.played if p.fault.kind is kind]
        overlapped = sum(count > 0 for count in answers)
        lines.append(f"| {kind} | {len(answers)} | {overlapped} | {sum(answers):,} |")
    told = ", ".join(course.told_of_their_clocks) or "nobody"
    lines.append(f"\nTold that its clock is off: {told} (c's was, all along).")
    if not partitions:
        lines.append("\nNetworks could not be cut on this machine, so there was no partition.")
    lines.extend(["", *(f"- {example}" for example in verdict.examples)])
    return "\n".join(lines).rstrip() + "\n"


_LOST = ("acknowledged hits are lost", "an answered hit is not in the log")
_TAKEN = "an admitted hit was taken back"
_DIFFER = "a count differs from the exact log's"
_DIFFERS = "decisions at limit 5 that differ from the exact log"
_OPEN = "denials at limit 5 because of hits not admitted later"


def _by_limit(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {counts[name]:,}" for name in sorted(counts))


def _lost(verdict: Verdict) -> int:
    return sum(verdict.wrong[what] for what in (*_LOST, _TAKEN))


def _of_places(verdict: Verdict) -> list[str]:
    """What can be said only if each access has its own place in the log."""
    differ = f"**{_DIFFERS}** | {verdict.wrong[_DIFFER]}"
    return [f"| {differ} |", f"| {_OPEN} | {verdict.denied_by_open_hits:,} |"]


def _else(verdict: Verdict) -> int:
    known = ("overshoot", *_LOST, _TAKEN, _DIFFER)
    return sum(count for what, count in verdict.wrong.items() if what not in known)
