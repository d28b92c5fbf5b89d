"""The command: runs many schedules, or one of them again with its journal."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cluster_simulator.planners import Planners
from cluster_simulator.planted import PLANTED
from cluster_simulator.schedule import Schedule, draw
from cluster_simulator.shrink import shortest
from cluster_simulator.trial import run

_AT_ONCE: Final = 20
_MOST_REPORTED: Final = 5


class Failure(NamedTuple):
    """A seed whose schedule is wrong, and in what way."""

    seed: int
    wrong: str


def failures(seeds: Sequence[int], planners: Planners | None = None) -> Iterator[Failure]:
    """The seeds that fail, on all processors; the real planners unless others are given."""
    if planners is not None:
        for seed in seeds:
            yield from _try(seed, planners)
        return
    with multiprocessing.get_context("fork").Pool() as pool:
        for found in pool.imap_unordered(_try, seeds, chunksize=_AT_ONCE):
            yield from found


def describe(failure: Failure, planners: Planners | None = None) -> str:
    """The shortest schedule found that fails in the same way, its journal, how to see it again."""
    planners = planners or Planners()
    schedule = shortest(draw(failure.seed), planners, failure.wrong)
    verdict = run(schedule, planners, journal=True)
    return "\n".join(
        [
            f"seed {failure.seed}: {failure.wrong}",
            f"again: make simulate SEED={failure.seed}",
            *_list(schedule),
            "what happens:",
            *(f"  {line}" for line in verdict.journal),
            f"wrong: {verdict.wrong}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 1 if a schedule was wrong."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        return _replay(options.replay, PLANTED[options.planted] if options.planted else Planners())
    start = random.SystemRandom().randrange(1 << 32) if options.first is None else options.first
    began, found = time.monotonic(), 0
    for failure in failures(range(start, start + options.schedules)):
        found += 1
        if found <= _MOST_REPORTED:
            _say(describe(failure))
        else:
            _say(f"seed {failure.seed}: {failure.wrong}")
    took_s = time.monotonic() - began
    _say(
        f"{options.schedules} schedules from seed {start}: {found} wrong; {took_s:.0f} s, "
        f"{options.schedules / took_s * 60:.0f} a minute"
    )
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster_simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20_000, help="how many to run")
    parser.add_argument("--first", type=int, help="the first seed; a random one if it is left out")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one and tell all")
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug; for --replay")
    return parser


def _replay(seed: int, planners: Planners) -> int:
    wrong = run(draw(seed), planners).wrong
    if wrong is not None:
        _say(describe(Failure(seed, wrong), planners))
        return 1
    _say("\n".join(_list(draw(seed))))
    _say("\n".join(run(draw(seed), planners, journal=True).journal))
    _say(f"seed {seed}: nothing is wrong")
    return 0


def _try(seed: int, planners: Planners | None = None) -> tuple[Failure, ...]:
    wrong = run(draw(seed), planners or Planners()).wrong
    return () if wrong is None else (Failure(seed, wrong),)


def _list(schedule: Schedule) -> Iterator[str]:
    yield f"{schedule.setting}"
    yield f"{len(schedule.actions)} actions: {[tuple(action) for action in schedule.actions]}"


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
