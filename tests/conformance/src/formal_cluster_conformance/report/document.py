"""A run as a JSON document. `schema.json` beside this file says what may be in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from formal_cluster_conformance.levels import level_of, underclaimed
from formal_cluster_conformance.results import Outcome, Results, Status
from formal_cluster_conformance.rules import Profile

FORMAT: Final = "formal-cluster-conformance/1"
SCHEMA: Final = Path(__file__).with_name("schema.json")

Document = dict[str, Any]

_NOT_TRIED: Final = (Status.SKIPPED, Status.DESELECTED)


def document(results: Results) -> Document:
    """The report."""
    return {
        "format": FORMAT,
        "subject": {"kind": results.kind, "name": results.subject},
        "versions": dict(results.versions),
        "run": {
            "seed": results.seed,
            "quick": results.quick,
            "started": results.started,
            "seconds": round(results.seconds, 2),
            "reproduce": reproduce(results),
        },
        "declaration": dict(results.declaration),
        "levels": {str(profile): str(level_of(results, profile)) for profile in results.profiles},
        "capabilities": {
            "declared": list(results.declared),
            "failing": sorted(_failing(results)),
            "passing_but_undeclared": list(underclaimed(results)),
        },
        "not_tried": [o.rule.id for o in results.outcomes if o.status in _NOT_TRIED],
        "overridden": list(results.overridden),
        "rules": [_rule(outcome) for outcome in results.outcomes],
    }


def reproduce(results: Results) -> str:
    """The command that repeats the run."""
    profiles = " ".join(f"--profile {profile}" for profile in results.profiles)
    only = "".join(f" --only {beginning}" for beginning in results.only)
    quick = " --quick" if results.quick else ""
    return (
        f"formal-cluster conformance --{results.kind} {results.subject} {profiles}{only}{quick} "
        f"--seed {results.seed}"
    )


def dump(report: Document) -> str:
    """The report as text."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _failing(results: Results) -> set[str]:
    """Capabilities that are declared and do not hold."""
    return {
        str(capability)
        for outcome in results.outcomes
        # Counters rest on all of them together, so their failure does not tell which.
        if outcome.status is Status.FAILED and outcome.rule.profile is not Profile.COUNTERS
        for capability in outcome.rule.needs
    }


def _rule(outcome: Outcome) -> Document:
    return {
        "id": outcome.rule.id,
        "profile": str(outcome.rule.profile),
        "text": outcome.rule.text,
        "status": str(outcome.status),
        "detail": outcome.detail,
        "timeline": outcome.timeline.splitlines(),
        "seconds": round(outcome.seconds, 3),
        "needs": sorted(str(capability) for capability in outcome.rule.needs),
        "undeclared": list(outcome.lacking),
        "faults": sorted(str(fault) for fault in outcome.rule.faults),
        "evidence": asdict(outcome.evidence),
    }
