"""The real planners under random schedules, and the simulator's own eyesight; docs/simulator.md.

`make simulate` runs ten times as many. A failure prints the seed, the shortest schedule found, and
the command that shows it again.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cluster_simulator.command import Failure, describe
from cluster_simulator.planners import Planners
from cluster_simulator.planted import PLANTED
from cluster_simulator.schedule import draw
from cluster_simulator.shrink import shortest
from cluster_simulator.trial import run

pytestmark = pytest.mark.timeout(300)

STEPS = {
    *("GiveConsent", "WithdrawConsent", "Intend", "Retract", "Found", "Start", "Join", "SetAside"),
    *("StopEtcd", "Fence", "LiftFence", "Unfence", "GiveVote", "IntendRestore", "Restore"),
    *("AddLearner", "Promote", "Remove", "MoveLeader", "UpdateAddress", "Go"),
}


def simulate(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "cluster_simulator", *arguments],
        env=environment | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_thousand_schedules_are_clean():
    # The same ones each time: looking for new ones is what `make simulate` is for.
    done = simulate("--first", "20000", "--schedules", "2000")
    assert 0 == done.returncode, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "seed",
    [
        1014280874,  # moved, told the others, restarted: nobody started where all would find it
        1795600954,  # promoted just before the only voter it knew died: it asked nobody any more
    ],
)
def test_what_once_went_wrong_does_not_again(seed):
    assert run(draw(seed), Planners()).wrong is None


@pytest.mark.slow
def test_every_step_of_every_planner_is_taken_somewhere():
    taken: set[str] = set()
    for seed in (*range(1480, 1500), *range(2_000)):  # the first ones: a rare step is among them
        journal = run(draw(seed), Planners(), journal=True).journal
        taken |= {words[1] for line in journal if len(words := line.split(": ")) > 2}
        if taken >= STEPS:
            break
    assert set() == STEPS - taken


@pytest.mark.parametrize("seed", ["4", "5", "6", "7"])
def test_a_seed_is_the_same_schedule_with_the_same_end_everywhere(seed):
    once, again = (simulate("--replay", seed, hash_seed=hash_seed) for hash_seed in ("1", "2"))
    assert once.stdout == again.stdout
    assert 0 == once.returncode, once.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "wrong", "first"),
    [
        # The number: where to begin to look. A rare coincidence is not far from there.
        ("silence is taken for absence", "has data of another", 0),
        ("founds without the intention phase", "has data of another", 6000),
        ("founds because time has passed", "has data of another", 0),
        ("consents to another at once", "has data of another", 400),
        ("founds beside data", "not settled", 0),
        ("unknown is taken for dead", "removed for no reason", 40),
        ("recovers without the silent", "not fenced", 0),
        ("restores the first copy, not the best", "without writes that others have", 2880),
        ("starts though fenced", "which is fenced", 80),
        ("never fences", "not settled", 0),
        ("removes on an incomplete view", "incomplete discovery view", 900),
        ("removes whoever is absent", "incomplete discovery view", 150),
        ("removes without a quorum left", "leaves no healthy quorum", 80),
        ("never promotes", "not settled", 0),
        ("ignores the cap", "are allowed", 0),
    ],
)
def test_a_planner_is_found_out_that(planted, wrong, first):
    seeds = range(first, first + 2_000)
    found = (run(draw(seed), PLANTED[planted]).wrong for seed in seeds)
    assert any(wrong in (it or "") for it in found)


def test_all_planted_bugs_are_looked_for():
    (mark,) = (
        mark for mark in test_a_planner_is_found_out_that.pytestmark if mark.name == "parametrize"
    )
    assert set(PLANTED) == {name for name, _, _ in mark.args[1]}


def test_a_failure_is_told_by_a_shorter_schedule_that_fails_alike():
    schedule, planners = draw(14), PLANTED["ignores the cap"]
    wrong = run(schedule, planners).wrong
    assert wrong is not None
    shorter = shortest(schedule, planners, wrong)
    assert len(shorter.actions) < len(schedule.actions) / 2
    assert wrong == run(shorter, planners).wrong


def test_a_failure_names_the_command_that_shows_it_again():
    wrong = run(draw(0), PLANTED["never promotes"]).wrong
    assert wrong is not None
    told = describe(Failure(0, wrong), "never promotes")
    assert "make simulate SEED=0" in told
    assert wrong in told
