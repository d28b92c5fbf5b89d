"""What the failover report shows of results."""

from __future__ import annotations

import pytest

from formal_cluster_failover import kept
from formal_cluster_failover.execute import Result
from formal_cluster_failover.report import Pass, document
from formal_cluster_failover.run import Measure, Target


def rows(*results: Result) -> list[str]:
    text = document([Pass("etcd 3.4.23", "A machine.", list(results))])
    return [line for line in text.splitlines() if "a follower is killed" in line]


def measured(strict_s: float) -> Measure:
    target = Target(eventual_s=0.0, strict_s=1.0)
    return Measure("the step", target, eventual_s=0.0, strict_s=strict_s, refused_strict=3)


def test_a_step_has_its_times_beside_their_targets():
    result = Result("name", "a follower is killed", (measured(0.25),), acknowledged=7)
    assert result.holds
    assert ["| a follower is killed | the step | 0.0 (0) | 0.2 (1) |  | 0 + 3 | 0 of 7 |"] == rows(
        result
    )


def test_a_missed_target_shows():
    result = Result("name", "a follower is killed", (measured(1.5),))
    assert not result.holds
    (row,) = rows(result)
    assert "**1.5 (1)**" in row


def test_a_target_that_was_not_measured_is_missed():
    assert not Measure("the step", Target(took_s=15.0)).is_met


def test_what_was_wrong_shows_in_one_line():
    result = Result("name", "a follower is killed", wrong=("two clusters\nat once",), lost=2)
    row, remark = rows(result)
    assert row.startswith("| **FAILED** a follower is killed |")
    assert "- *a follower is killed*: **two clusters**" == remark
    assert not result.holds


def test_what_was_not_run_says_why():
    result = Result("name", "a follower is killed", skipped="unshare is not installed")
    row, remark = rows(result)
    assert "not run" in row
    assert remark.endswith("because unshare is not installed")


def test_results_are_the_same_after_they_were_kept(tmp_path):
    result = Result("name", "a follower is killed", (measured(1.5),), ("a note",), acknowledged=7)
    passes = [Pass("etcd 3.4.23", "A machine.", [result])]
    kept.write(tmp_path / "results.json", passes)
    assert passes == kept.read(tmp_path / "results.json")


@pytest.mark.parametrize("path", [None, "missing.json"])
def test_without_an_earlier_run_nothing_was_kept(tmp_path, path):
    assert [] == kept.read(path and tmp_path / path)
