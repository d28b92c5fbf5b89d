"""`formal-cluster conformance`: try a driver, or repeat what a report says failed.

Imported to show `formal-cluster --help`: what the command needs is imported when it runs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from formal_cluster.errors import ConfigError

if TYPE_CHECKING:
    from formal_cluster_conformance.report.document import Document
    from formal_cluster_conformance.results import Outcome, Results

_PROFILES = ("state", "counters", "failover", "discovery")
_LEVELS = ("full", "declared", "partial")
"""Those of `levels` that may be required, best first."""
_MOST_SEEDS = 2**32
_MOST_SHOWN = 12


@click.group(invoke_without_command=True)
@click.option("--store", metavar="NAME", help="The store driver to try, by its declaration's name.")
@click.option("--discovery", metavar="NAME", help="Or the discovery driver to try.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(_PROFILES),
    help="What to try; may be given several times. Default: everything.",
)
@click.option("--quick", is_flag=True, help="Try everything, but each thing only as far as needed.")
@click.option(
    "--only", multiple=True, metavar="ID", help="Only rules whose id begins so; lowers the level."
)
@click.option("--seed", type=click.IntRange(0), help="Repeat a run's dice. Default: random.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Write the report here (JSON), and beside it as Markdown, JUnit XML and a badge (SVG).",
)
@click.option(
    "--require",
    type=click.Choice(_LEVELS),
    default="partial",
    show_default=True,
    help="The level that every profile has to reach for exit code 0.",
)
@click.pass_context
def conformance(
    context: click.Context,
    store: str | None,
    discovery: str | None,
    profiles: tuple[str, ...],
    only: tuple[str, ...],
    seed: int | None,
    report: Path | None,
    require: str,
    *,
    quick: bool,
) -> None:
    """Try whether a driver keeps its contract.

    Exit code: 0 every profile reached the level required; 1 one did not: something is not met, or
    too little happened to prove anything; 2 the command line is wrong.
    """
    if context.invoked_subcommand is not None:
        return
    name = store or discovery
    if name is None or (store and discovery):
        from formal_cluster_conformance.find import names

        raise click.UsageError(
            f"name one driver with --store or --discovery; declared are {', '.join(names())}"
        )
    chosen = random.SystemRandom().randrange(_MOST_SEEDS) if seed is None else seed
    _finish(_run(name, profiles, only, chosen, quick=quick), report, require)


@conformance.command()
@click.argument("report", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--all", "everything", is_flag=True, help="Also repeat what was passed.")
def replay(report: Path, *, everything: bool) -> None:
    """Repeat, with the same dice, the rules that REPORT says were not passed."""
    from formal_cluster_conformance.report.files import read

    old = read(report)
    tried = [rule for rule in old["rules"] if rule["status"] not in ("skipped", "deselected")]
    ids = [rule["id"] for rule in tried if everything or rule["status"] != "passed"]
    if not ids:
        click.echo("nothing to repeat: every rule that was tried was passed")
        return
    run = old["run"]
    profiles = tuple(old["levels"])
    name = old["subject"]["name"]
    _finish(_run(name, profiles, ids, run["seed"], quick=run["quick"]), None, _LEVELS[-1])


def _run(
    name: str, profiles: Sequence[str], only: Collection[str], seed: int, *, quick: bool
) -> Results:
    from formal_cluster_conformance.find import find
    from formal_cluster_conformance.rules import PROFILES_OF, Profile
    from formal_cluster_conformance.running import run, run_of, selected

    declaration = find(name)
    kind = run_of(declaration, seed=seed, quick=quick).kind
    wanted = [Profile(profile) for profile in profiles] or list(PROFILES_OF[kind])
    if strangers := [profile for profile in wanted if profile not in PROFILES_OF[kind]]:
        raise ConfigError(f"{name} is a {kind}; profile {strangers[0]} is not about that")
    if not selected(wanted, only):
        raise ConfigError(f"no rule of these profiles has an id that begins with {sorted(only)}")
    # What a driver logs while it is maltreated is no result; without a handler it would be shown.
    logging.getLogger().addHandler(logging.NullHandler())
    click.echo(f"{kind} {declaration.name}, seed {seed}{', quick' if quick else ''}", err=True)
    return asyncio.run(
        run(declaration, profiles=wanted, seed=seed, quick=quick, only=only, tell=_tell)
    )


def _tell(outcome: Outcome) -> None:
    click.echo(f"{outcome.rule.id:15} {outcome.status:13} {outcome.seconds:7.2f} s", err=True)


def _finish(results: Results, path: Path | None, require: str) -> None:
    from formal_cluster_conformance.report.document import document
    from formal_cluster_conformance.report.files import write

    report = document(results)
    if path is not None:
        write(report, path)
    _summarize(report)
    enough = _LEVELS[: _LEVELS.index(require) + 1]
    sys.exit(0 if all(level in enough for level in report["levels"].values()) else 1)


def _summarize(report: Document) -> None:
    for rule in report["rules"]:
        if rule["status"] in ("failed", "error", "inconclusive"):
            click.echo(f"\n{rule['id']} {rule['status']}: {rule['text']}\n  {rule['detail']}")
            for line in rule["timeline"]:
                click.echo(f"    {line}")
    for key, label in (
        ("failing", "declared, but failing"),
        ("passing_but_undeclared", "passing, but not declared"),
    ):
        if names := report["capabilities"][key]:
            click.echo(f"{label}: {', '.join(names)}")
    if report["not_tried"]:
        shown = report["not_tried"][:_MOST_SHOWN]
        more = len(report["not_tried"]) - len(shown)
        click.echo(f"not tried: {', '.join(shown)}{f' and {more} more' if more else ''}")
    for profile, level in report["levels"].items():
        click.echo(f"{profile}: {level}")
    click.echo(f"again: {report['run']['reproduce']}")
