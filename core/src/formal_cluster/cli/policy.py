"""`formal-cluster policy`: what is wrong with policies, what they read, and what they decide."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.cli.policy_tests import test
from formal_cluster.policy.analyse import CounterUse
from formal_cluster.policy.evaluate import Policy, PolicySet
from formal_cluster.policy.findings import Finding, PolicySetRefused
from formal_cluster.policy.load import load_policies
from formal_cluster.settings_file import load_settings

_REFUSED = 2

_paths = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)


@click.group()
def policy() -> None:
    """Check, explain and test Rego policies."""


policy.add_command(test)


@policy.command()
@_paths
@config_option
@json_option
def check(paths: Sequence[Path], config: Path | None, *, as_json: bool) -> None:
    """Load policies as a running instance would.

    PATH is a Rego file, or a directory searched for *.rego. Exit code: 0 accepted, 2 refused.
    """
    policies = _load(paths, config, as_json=as_json)
    if as_json:
        names = [each.name for each in policies.policies]
        click.echo(json.dumps({"ok": True, "policies": names, "findings": []}, indent=2))
    else:
        click.echo(
            f"ok: {len(policies.policies)} policies, {len(policies.libraries)} libraries, "
            f"{len(policies.uses)} counters read"
        )


@policy.command()
@_paths
@config_option
@json_option
def explain(paths: Sequence[Path], config: Path | None, *, as_json: bool) -> None:
    """Show what policies read, and which counters are kept because of them.

    PATH is a Rego file, or a directory searched for *.rego. Exit code: 0, or 2 if refused.
    """
    policies = _load(paths, config, as_json=as_json)
    if as_json:
        click.echo(json.dumps(_document(policies), indent=2))
    else:
        _show(policies)


def _load(paths: Sequence[Path], config: Path | None, *, as_json: bool) -> PolicySet:
    counters = load_settings(config, os.environ).counter
    try:
        return load_policies(paths, counters)
    except PolicySetRefused as error:
        if as_json:
            findings = [_finding(finding) for finding in error.findings]
            click.echo(json.dumps({"ok": False, "findings": findings}, indent=2))
        else:
            click.echo(str(error), err=True)
        sys.exit(_REFUSED)


def _finding(finding: Finding) -> dict[str, Any]:
    where = finding.where
    file, line, column = (where, None, None) if isinstance(where, str) else where
    return {"file": file, "line": line, "column": column, "message": finding.message}


def _document(policies: PolicySet) -> dict[str, Any]:
    return {
        "policies": [_policy(each) for each in policies.policies],
        "libraries": [module.source.name for module in policies.libraries],
        "counters": [_counter(use) for use in policies.uses],
        "digest": policies.digest,
    }


def _policy(each: Policy) -> dict[str, Any]:
    return {"name": each.name, "rules": _rules(each), "reads": list(each.paths)}


def _rules(each: Policy) -> list[str]:
    return [rule.rpartition(".")[2] for rules in each.rules.values() for rule in rules]


def _counter(use: CounterUse) -> dict[str, Any]:
    return {
        "path": use.path,
        "windows": [window.name for window in use.windows],
        "named_by_a_policy": use.explicit,
        "subject": list(use.counter.subject),
        "grade": use.counter.grade.value,
        "counted_at": sorted(stage.value for stage in use.counted_at),
        "read_at": sorted(stage.value for stage in use.stages),
        "bounds": list(use.bounds),
        "compared": list(use.comparisons),
        "thresholds": {
            window.name: None if known is None else list(known)
            for window, known in zip(use.windows, use.thresholds, strict=True)
        },
        "escapes": [str(location) for location in use.escapes],
        "locations": [str(location) for location in use.locations],
    }


def _show(policies: PolicySet) -> None:
    for each in policies.policies:
        click.echo(f"{each.name} defines {', '.join(_rules(each))} and reads")
        for path in each.paths:
            click.echo(f"  {path}")
    for use in policies.uses:
        click.echo(f"counter {use.path}: {', '.join(window.name for window in use.windows)}")
        click.echo(
            f"  {use.counter.grade.value}, for each {' and '.join(use.counter.subject)}, "
            f"counted at {', '.join(use.counter.stages)}"
        )
        if use.bounds:
            click.echo(f"  with its bounds: {', '.join(use.bounds)}")
        if use.comparisons:
            click.echo(f"  compared: {', '.join(use.comparisons)}")
        click.echo(f"  thresholds: {_thresholds(use)}")
        if not use.explicit:
            click.echo("  named by no policy, but within reach of one that reads all of its entity")
        click.echo(f"  read at {', '.join(map(str, use.locations))}")
    if not policies.uses:
        click.echo("no counters are read")


def _thresholds(use: CounterUse) -> str:
    known = [
        f"{window.name} {', '.join(map(str, numbers))}"
        for window, numbers in zip(use.windows, use.thresholds, strict=True)
        if numbers
    ]
    if None in use.thresholds:
        unknown = [
            window.name
            for window, numbers in zip(use.windows, use.thresholds, strict=True)
            if numbers is None
        ]
        places = ", ".join(map(str, use.escapes))
        known.append(
            f"not known for {', '.join(unknown)}, of which more than comparisons with numbers is "
            f"made at {places}"
        )
    return "; ".join(known) or "none"
