"""The command: runs many schedules, or one of them again with its journal."""

from __future__ import annotations

import argparse
import functools
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


def failures(seeds: Sequence[int], planted: str | None = None) -> Iterator[Failure]:
    """The seeds that fail, on all processors; with the real planners unless a bug is planted."""
    with multiprocessing.get_context("fork").Pool() as pool:
        attempt = functools.partial(_try, planted=planted)
        for found in pool.imap_unordered(attempt, seeds, chunksize=_AT_ONCE):
            yield from found


def describe(failure: Failure, planted: str | None = None) -> str:
    """The shortest schedule found that fails in the same way, its journal, how to see it again."""
    planners = _planners(planted)
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
        return _replay(options.replay, options.planted)
    start = random.SystemRandom().randrange(1 << 32) if options.first is None else options.first
    began, found = time.monotonic(), 0
    for failure in failures(range(start, start + options.schedules), options.planted):
        found += 1
        if found <= _MOST_REPORTED:
            _say(describe(failure, options.planted))
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
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug")
    return parser


def _replay(seed: int, planted: str | None) -> int:
    schedule, planners = draw(seed), _planners(planted)
    verdict = run(schedule, planners, journal=True)
    if verdict.wrong is not None:
        _say(describe(Failure(seed, verdict.wrong), planted))
        return 1
    _say("\n".join([*_list(schedule), *verdict.journal, f"seed {seed}: nothing is wrong"]))
    return 0


def _try(seed: int, planted: str | None) -> tuple[Failure, ...]:
    try:
        wrong = run(draw(seed), _planners(planted)).wrong
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    return () if wrong is None else (Failure(seed, wrong),)


def _planners(planted: str | None) -> Planners:
    return Planners() if planted is None else PLANTED[planted]


def _list(schedule: Schedule) -> Iterator[str]:
    yield f"{schedule.setting}"
    yield f"{len(schedule.actions)} actions: {[tuple(action) for action in schedule.actions]}"


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
