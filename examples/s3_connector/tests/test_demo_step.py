"""A step's verdict and how it is told to a program."""

from __future__ import annotations

import json

import pytest

from formal_cluster_demo.report import JsonReport, TextReport, held
from formal_cluster_demo.step import Outcome, Step

LONG_AGO = float("-inf")


@pytest.fixture
def step() -> Step:
    return Step(1, "Something happens")


def test_a_step_passes_when_every_check_held(step):
    step.check("same", expected=[200], seen=[200])
    step.check("judged", expected="≤ 5 s", seen="0.1 s", held=True)
    assert Outcome.PASS is step.outcome


def test_one_check_that_did_not_hold_fails_the_step(step):
    step.check("same", expected=200, seen=200)
    step.check("other", expected=403, seen=200)
    assert Outcome.FAIL is step.outcome


def test_a_check_that_failed_after_its_time_makes_the_step_too_slow_not_failed(step):
    step.check("held all the same", expected=403, seen=403, valid_until=LONG_AGO)
    assert Outcome.PASS is step.outcome
    step.check("window has passed", expected=403, seen=200, valid_until=LONG_AGO)
    assert Outcome.TOO_SLOW is step.outcome


def test_a_check_that_failed_in_time_fails_the_step_whatever_comes_later(step):
    step.check("in time", expected=403, seen=200)
    step.check("too late", expected=403, seen=200, valid_until=LONG_AGO)
    assert Outcome.FAIL is step.outcome


@pytest.mark.parametrize("outcome", ["not run", "fail", "too slow"])
def test_the_whole_holds_only_if_every_step_passed(step, outcome):
    passed = Step(2, "Passed")
    passed.check("same", expected=1, seen=1)
    if outcome != "not run":
        valid_until = LONG_AGO if outcome == "too slow" else float("inf")
        step.check("other", expected=1, seen=2, valid_until=valid_until)
    assert outcome == step.outcome
    assert held([passed])
    assert not held([passed, step])


def test_json_lines_tell_each_step_and_the_summary(step, capsys):
    step.did("something")
    step.check("status", expected=[403], seen=[200])
    step.show_members("now", {"leader": "a", "members": [{"id": "a", "healthy": True}]})
    report = JsonReport()
    report.begun(step)
    report.ended(step)
    report.summary([step], 1.25)
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (1, "fail", ["something"]) == (first["step"], first["outcome"], first["done"])
    check = {"what": "status", "expected": [403], "seen": [200], "held": False, "void": False}
    assert [check] == first["checks"]
    assert [{"id": "a", "healthy": True, "leader": True}] == first["members"]["now"]
    assert {"held": False, "seconds": 1.2, "steps": {"Something happens": "fail"}} == last


def test_text_shows_expected_beside_seen_and_takes_brackets_literally(step, capsys):
    step.check("[bold]reason[/bold]", expected="[a]", seen="[b]")
    step.seconds = 2.0
    report = TextReport()
    report.begun(step)
    report.ended(step)
    report.summary([step], 2.0)
    shown = capsys.readouterr().out
    for part in ("1. Something happens", "[bold]reason[/bold]", "[a]", "[b]", "FAIL"):
        assert part in shown
