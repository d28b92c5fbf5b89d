"""`formal-cluster policy test`: timelines against real policies and real decisions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from formal_cluster.cli import main

LIMIT = """package formal.v2

import future.keywords.if

pre_request := {"action": "block", "type": "told"} if input.bucket.access_count.last_minute > 2
"""
REQUEST = "request: { user: { id: alice }, bucket: { name: b } }\n"


class Desk:
    """A policy author's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tests = directory / "limit_test.yaml"
        self.options: list[str] = []
        self.policy(LIMIT)

    def policy(self, text: str) -> None:
        (self.directory / "limit.rego").write_text(text)

    def settings(self, text: str) -> None:
        path = self.directory / "connector.toml"
        path.write_text(text)
        self.options = ["--config", str(path)]

    def run(self, *steps: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        lines = "".join(f"      - {step}\n" for step in steps)
        self.tests.write_text(f"{REQUEST}tests:\n  - name: it holds\n    steps:\n{lines}")
        return self.again(*options)

    def again(self, *options: str) -> tuple[int, str]:
        command = ["policy", "test", *self.options, *options, str(self.directory)]
        done = CliRunner().invoke(main, command)
        return done.exit_code, done.output


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


def test_a_limit_holds_over_all_instances_and_a_window_passes_to_the_millisecond(desk):
    code, out = desk.run(
        "{ at: 0s, expect: allow }",
        "{ at: 10s, instance: B, expect: nothing }",
        "{ at: 20s, instance: C, expect: block, counts: { bucket.access_count.last_minute: 3 } }",
        "{ user: bob, expect: allow, counts: { input.bucket.access_count.last_minute: 1 } }",
        "{ at: 59.999s, expect: { action: block, type: told } }",
        "{ at: 60s, expect: allow }",
        "{ expect: block }",
    )
    assert (0, f"ok     {desk.tests}: it holds\n1 tests, 7 accesses: none failed\n") == (code, out)


def test_a_failure_says_which_access_what_was_expected_what_came_and_why(desk):
    code, out = desk.run("{ at: 1s, expect: allow }", "{ at: +2s, times: 4, expect: allow }")
    assert 1 == code
    assert (
        f"FAILED {desk.tests}: it holds\n"
        f"  {desk.tests}:6: at 3s on A, pre_request, access 2 of 4\n"
        '    expected allow, got block {"type": "told"}\n'
        "    decided by limit.rego, rule pre_request\n"
        '    input {"user": {"id": "alice"}, "bucket": {"name": "b"}}\n'
        "    input.bucket.access_count.last_minute is 3 for alice, b; the policy turns above 2\n"
        "1 tests, 5 accesses: 1 failed\n"
    ) == out


def test_programs_are_told_the_same(desk):
    steps = ("{ at: 1s, expect: mask }", "{ expect: allow }")
    code, out = desk.run(*steps, options=("--json",))
    document = json.loads(out)
    assert (1, False) == (code, document["ok"])
    [test] = document["tests"]
    assert (str(desk.tests), 5, "it holds", 2, False) == tuple(
        test[name] for name in ("file", "line", "name", "accesses", "ok")
    )
    [failure] = test["failures"]
    assert {
        "line": 5,
        "at_ms": 1_000,
        "instance": "A",
        "stage": "pre_request",
        "access": 1,
        "input": {"user": {"id": "alice"}, "bucket": {"name": "b"}},
        "problems": ["expected mask, got allow (no policy has a result)"],
        "decided_by": "no policy has a result",
        "counts": [
            {
                "path": "input.bucket.access_count.last_minute",
                "subject": ["alice", "b"],
                "value": 1,
                "lower": 1,
                "upper": 1,
                "limit": 2,
            }
        ],
    } == failure


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{ expect: nothing, times: 3 }", "expected no result of any policy, got block"),
        ("{ expect: { error: missing_user } }", 'expected error "missing_user", got allow'),
        ("{ expect: allow, input: { user: { id: '' } } }", "got a refusal, missing_user"),
        ("{ expect: { action: allow, type: x } }", 'expected type "x", got allow'),
        ("{ expect: allow, counts: { bucket.access_count.last_minute: 2 } }", "it is 1"),
        ("{ expect: allow, counts: { bucket.access_count.last_hour: 1 } }", "it is not counted"),
    ],
)
def test_whatever_is_not_as_expected_fails(step, told, desk):
    code, out = desk.run(step)
    assert 1 == code
    assert told in out


def test_a_request_that_is_refused_may_be_what_is_expected(desk):
    code, _ = desk.run("{ input: { user: { id: '' } }, expect: { error: missing_user } }")
    assert 0 == code


@pytest.mark.parametrize("grade", ["eventual", "reserved", "strict"])
def test_every_grade_gives_the_same_answers_while_nothing_is_wrong(grade, desk):
    desk.settings(f'[[counter]]\nname = "access_count"\ngrade = "{grade}"\n')
    code, out = desk.run("{ times: 2, expect: allow }", "{ times: 3, expect: block }")
    assert 0 == code, out


def test_denied_accesses_count_if_the_settings_say_so(desk):
    desk.settings('[[counter]]\nname = "access_count"\ncount_denied = true\n')
    code, out = desk.run(
        "{ times: 2, expect: allow }",
        "{ times: 3, expect: block, counts: { bucket.access_count.last_minute: 5 } }",
    )
    assert 0 == code, out


def test_an_instance_that_is_cut_off_counts_alone_until_it_is_back(desk):
    code, out = desk.run(
        "{ instance: A, times: 2, expect: allow }",
        "{ instance: B, degraded: true, expect: block }",
        "{ at: 60s, instance: A, times: 2, expect: allow }",
        "{ instance: B, degraded: true, times: 2, expect: allow }",
        "{ instance: B, degraded: true, expect: block }",
        "{ instance: A, expect: block, counts: { bucket.access_count.last_minute: 3 } }",
        "{ instance: B, expect: block, counts: { bucket.access_count.last_minute: 5 } }",
        "{ instance: A, expect: block, counts: { bucket.access_count.last_minute: 5 } }",
    )
    assert 0 == code, out


def test_what_a_counter_does_while_it_is_cut_off_is_tested_too(desk):
    step = "{ degraded: true, expect: block }"
    desk.settings('[[counter]]\nname = "access_count"\non_degraded = "block"\n')
    assert 0 == desk.run(step)[0]
    desk.settings('[[counter]]\nname = "access_count"\non_degraded = "allow"\n')
    code, out = desk.run("{ times: 2, expect: allow }", step)
    assert 1 == code
    assert "input.bucket.access_count.last_minute is 0 for alice, b" in out


def test_a_policy_that_asks_for_the_clusters_condition_is_told(desk):
    desk.policy(
        'package formal.v2\npre_request := {"action": "block"} if {\n  input.cluster.degraded\n'
        "  input.cluster.stale_ms >= 5000\n  input.cluster.peers == 1\n}\n"
    )
    code, out = desk.run(
        "{ expect: allow }",
        "{ at: 4s, degraded: true, expect: allow }",
        "{ at: 8.999s, degraded: true, expect: allow }",
        "{ at: 9s, degraded: true, expect: block }",
        "{ at: 9s, instance: B, expect: allow }",
    )
    assert 0 == code, out


def test_the_bounds_of_a_count_can_be_expected(desk):
    desk.policy(LIMIT.replace("access_count.", "access_count.upper."))
    code, out = desk.run(
        "{ expect: allow }",
        "{ instance: B, degraded: true, expect: block, counts: { "
        "bucket.access_count.last_minute: 2, bucket.access_count.upper.last_minute: 3 } }",
    )
    assert 0 == code, out


def test_stages_are_played_in_any_order(desk):
    desk.policy(
        LIMIT + 'post_request := {"action": "mask"} if input.bucket.access_count.last_minute == 1\n'
    )
    code, out = desk.run(
        "{ stage: post_request, expect: nothing }",
        "{ stage: request, expect: allow }",
        "{ stage: response, expect: mask }",
    )
    assert 0 == code, out


def test_each_test_begins_with_nothing_counted(desk):
    steps = "    steps: [{ times: 2, expect: allow }, { expect: block }]\n"
    desk.tests.write_text(f"{REQUEST}tests:\n  - name: one\n{steps}  - name: two\n{steps}")
    code, out = desk.again()
    assert 0 == code
    assert out.endswith("2 tests, 6 accesses: none failed\n")


def test_a_tests_own_request_is_merged_into_the_files(desk):
    desk.tests.write_text(
        f"{REQUEST}tests:\n  - name: n\n    request: {{ bucket: {{ name: other }} }}\n"
        "    steps: [{ expect: { error: missing_user }, input: { user: { id: null } } },\n"
        "      { times: 2, expect: allow },\n"
        "      { input: { bucket: { name: third } }, expect: allow }]\n"
    )
    code, out = desk.again()
    assert 0 == code, out


def test_a_file_that_is_wrong_is_told_with_exit_code_2(desk):
    code, out = desk.run("{ expects: allow }")
    assert 2 == code
    assert f"error: {desk.tests}:5: tests.0.steps.0.expects: there is no such key" in out


def test_a_policy_that_would_be_refused_is_told_with_exit_code_2(desk):
    desk.policy(LIMIT.replace("access_count", "acess_count"))
    code, out = desk.run("{ expect: allow }")
    assert 2 == code
    assert "there is no counter input.bucket.acess_count" in out


def test_a_policy_that_fails_is_shown_as_the_reason(desk):
    desk.policy('package formal.v2\npre_request := {"action": input.does}\n')
    code, out = desk.run('{ input: { does: "nothing at all" }, expect: allow }')
    assert 1 == code
    assert "decided by no policy: policy failed: limit.rego: unknown action" in out
