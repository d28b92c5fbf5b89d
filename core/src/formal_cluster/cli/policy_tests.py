"""`formal-cluster policy test`: do policies decide what their author expects?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.model import CounterReading
from formal_cluster.policy.load import load_policies
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings
from formal_cluster.timeline.document import TestFile, find_files, read_file
from formal_cluster.timeline.play import Failure, Verdict, play

_FAILED = 1


@dataclass(frozen=True)
class _Played:
    """A file, and what came of its tests."""

    file: TestFile
    verdicts: Sequence[Verdict]


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@config_option
@json_option
def test(paths: Sequence[Path], config: Path | None, *, as_json: bool) -> None:
    """Play timelines of requests, and compare what is decided with what is expected.

    PATH is a file of tests (YAML), or a directory searched for *_test.yaml. No cluster is needed
    and nobody waits: the clock is the timeline's. Exit code: 0 all as expected, 1 some was not,
    2 a file or a policy is wrong.
    """
    settings = load_settings(config, os.environ)
    played = [_play(read_file(path), settings) for path in find_files(paths)]
    if as_json:
        click.echo(json.dumps(_document(played), indent=2))
    else:
        _show(played)
    sys.exit(0 if all(not each.failures for each in _verdicts(played)) else _FAILED)


def _play(file: TestFile, settings: Settings) -> _Played:
    policies = load_policies(file.policies, settings.counter)
    return _Played(file, asyncio.run(play(file, policies, settings)))


def _verdicts(played: Sequence[_Played]) -> list[Verdict]:
    return [verdict for each in played for verdict in each.verdicts]


# ── for people ───────────────────────────────────────────────────────────────────────────────


def _show(played: Sequence[_Played]) -> None:
    for each in played:
        for verdict in each.verdicts:
            word = "FAILED" if verdict.failures else "ok"
            click.echo(f"{word:6} {each.file.path}: {verdict.name}")
            for failure in verdict.failures:
                _show_failure(each.file.path, failure)
    verdicts = _verdicts(played)
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    accesses = sum(verdict.accesses for verdict in verdicts)
    click.echo(f"{len(verdicts)} tests, {accesses} accesses: {failed or 'none'} failed")


def _show_failure(path: Path, failure: Failure) -> None:
    click.echo(f"  {path}:{failure.line}: {failure.when}")
    for problem in failure.problems:
        click.echo(f"    {problem}")
    click.echo(f"    decided by {failure.decided_by}")
    click.echo(f"    input {json.dumps(failure.input)}")
    for reading in failure.counts:
        click.echo(f"    {_count(reading)}")


def _count(reading: CounterReading) -> str:
    """What a policy saw, with what it is measured by."""
    subject = ", ".join(reading.key.subject)
    limit = "" if reading.limit is None else f"; the policy turns above {reading.limit}"
    bounds = "" if reading.lower == reading.value == reading.upper else _bounds(reading)
    return f"{reading.path} is {reading.value}{bounds} for {subject}{limit}"


def _bounds(reading: CounterReading) -> str:
    return f" (lower {reading.lower}, upper {reading.upper})"


# ── for programs ─────────────────────────────────────────────────────────────────────────────


def _document(played: Sequence[_Played]) -> dict[str, Any]:
    verdicts = _verdicts(played)
    return {
        "ok": all(not verdict.failures for verdict in verdicts),
        "tests": [
            {
                "file": str(each.file.path),
                "line": verdict.line,
                "name": verdict.name,
                "accesses": verdict.accesses,
                "ok": not verdict.failures,
                "failures": [_failure(failure) for failure in verdict.failures],
            }
            for each in played
            for verdict in each.verdicts
        ],
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "line": failure.line,
        "at_ms": failure.at_ms,
        "instance": failure.instance,
        "stage": failure.stage.value,
        "access": failure.access,
        "input": failure.input,
        "problems": list(failure.problems),
        "decided_by": failure.decided_by,
        "counts": [
            {
                "path": reading.path,
                "subject": list(reading.key.subject),
                "value": reading.value,
                "lower": reading.lower,
                "upper": reading.upper,
                "limit": reading.limit,
            }
            for reading in failure.counts
        ],
    }
