"""Benchmarks run in processes that fail loudly and end, and each has its place in the README."""

from __future__ import annotations

from multiprocessing import active_children
from pathlib import Path

import pytest
from benchmarks import strict
from benchmarks.__main__ import BENCHES
from benchmarks.bench import Effort, Section, Table
from benchmarks.fleet import Failures, InstanceFailed, fleet
from benchmarks.loads import LOADS, draws
from benchmarks.loops import closed, summarise
from benchmarks.report import markdown
from benchmarks.stores import stores

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


@pytest.mark.etcd
@pytest.mark.redis
@pytest.mark.timeout(240)
def test_instances_work_at_the_same_time_fail_loudly_and_end():
    with stores() as running:
        before = running.redis.traffic()
        with fleet("limits, fixed", running, instances=2) as pair:
            spent = pair.all(closed, LOADS[2], "test", 5, callers=1, seconds=1)
            assert all(part.decisions >= part.admitted > 0 for part in spent)
            with pytest.raises(InstanceFailed, match="AssertionError"):
                pair.all(strict.wait, callers=1, seconds=0.1)
            assert 2 == len(pair.first(2, closed, LOADS[0], "more", 5, callers=1, seconds=0.01))
        traffic = running.redis.traffic().since(before)
    assert traffic.requests >= sum(part.decisions for part in spent)
    assert traffic.operations >= traffic.requests / 2
    assert [] == active_children()


def test_a_contestant_that_fails_is_left_out_and_named():
    failures = Failures()
    with failures.noted("who fails"):
        raise InstanceFailed("Traceback …\nValueError: no luck\n")
    with failures.noted("who works"):
        pass
    assert [True, False] == [failures.of(name) for name in ("who fails", "who works")]
    assert "who fails (`ValueError: no luck`)" in failures.markdown()


def test_every_benchmark_has_its_place_in_the_readme():
    text = README.read_text()
    assert [] == [name for name in BENCHES if f"<!-- {name} -->" not in text]
    assert [] == [name for name in BENCHES if f"<!-- /{name} -->" not in text]


@pytest.mark.parametrize("load", LOADS)
def test_a_load_is_the_same_for_a_seed(load: str):
    assert draws.__wrapped__(load, 1) == draws(load, 1)


def test_whoever_falls_behind_has_no_latencies():
    behind = summarise([0.1] * 50, per_second=100, elapsed_s=1)
    assert (None, None, None) == (behind.p50_us, behind.p99_us, behind.p999_us)


def test_a_latency_is_that_of_the_share_it_is_named_after():
    seen = summarise([n / 1e3 for n in range(1_001)], per_second=1_000, elapsed_s=1)
    figures = [round(us) for us in (seen.p50_us, seen.p99_us, seen.p999_us)]
    assert [500_000, 990_000, 999_000] == figures


def test_a_quick_run_says_so_in_what_it_writes():
    section = Section([Table("Title", ["who", "how many"], [["we", "1"]], note="Why.")])
    text = markdown(section, Effort(quick=True), seconds=1)
    assert "quick run" in text
    assert "| we | 1 |" in text
    assert "quick run" not in markdown(section, Effort(), seconds=1)
