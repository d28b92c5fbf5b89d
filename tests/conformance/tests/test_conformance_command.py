"""`formal-cluster conformance`, and the suite inside an author's pytest."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from formal_cluster_conformance.command import conformance
from formal_cluster_conformance.documents import replaced, reports_table, rules_tables
from formal_cluster_conformance.levels import Level, level
from formal_cluster_conformance.results import Outcome, Status
from formal_cluster_conformance.rules import catalogue

BROKEN = """
from contextlib import asynccontextmanager
from dataclasses import replace
from formal_cluster_conformance.zoo.healthy import declare
from formal_cluster_conformance.zoo.wrong_keys import ConditionIgnored
DECLARATION = replace(declare(ConditionIgnored, 1), name="broken_store:DECLARATION")
"""
TESTS = """
from formal_cluster_conformance.pytest_plugin import conformance_of

test_rule = conformance_of("broken_store:DECLARATION", "state")
"""


@pytest.fixture
def run():
    def run(*arguments):
        return CliRunner().invoke(conformance, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A declaration without an entry point, of a store that takes no notice of conditions."""
    (tmp_path / "broken_store.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "broken_store:DECLARATION"
    sys.modules.pop("broken_store", None)


def test_a_store_that_is_right_is_told_so(run):
    done = run("--store", "memory", "--profile", "state", "--quick", "--only", "ST-GET")

    assert "state: partial" in done.output
    assert "not tried: ST-PUT-01" in done.output
    assert "--profile state --only ST-GET --quick" in done.output
    assert 0 == done.exit_code


def test_what_was_left_out_is_an_error_where_a_better_level_is_required(run):
    arguments = ("--store", "memory", "--profile", "state", "--quick", "--only", "ST-GET")

    assert 1 == run(*arguments, "--require", "declared").exit_code


def test_a_store_that_is_wrong_is_told_what_and_where_and_can_be_tried_again(run, broken, tmp_path):
    report = tmp_path / "out.json"
    only = ("--only", "ST-CAS", "--only", "ST-GET")
    done = run(
        *("--store", broken, "--profile", "state", "--quick", *only),
        *("--seed", 4, "--report", report),
    )
    again = run("replay", report)

    assert 1 == done.exit_code
    assert "ST-CAS-03 failed" in done.output
    assert "declared, but failing: compare-and-swap" in done.output
    assert "ST-CAS-03 failed" in again.output
    failed = {r["id"] for r in json.loads(report.read_text())["rules"] if r["status"] == "failed"}
    assert {"ST-CAS-02", "ST-CAS-03"} & failed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one driver"),
        (("--store", "nobody"), "no installed distribution declares 'nobody'"),
        (("--store", "memory", "--profile", "discovery"), "is a store"),
        (("--store", "memory", "--only", "XX"), "no rule"),
        (("--store", "json:loads"), "no declaration"),
    ],
)
def test_a_wrong_command_line_is_told(run, arguments, message):
    done = run(*arguments)

    assert 0 != done.exit_code
    assert message in f"{done.output}{done.exception}"


def test_in_an_authors_pytest_each_rule_is_a_test_and_what_is_left_out_is_reported(
    broken, tmp_path
):
    (tmp_path / "test_conformance.py").write_text(TESTS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"),
            *("-k", "ST-CAS or ST-DEL", "--conformance-report", tmp_path, tmp_path),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{':'.join(filter(None, sys.path))}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode, done.stdout + done.stderr
    assert "test_rule[ST-CAS-03]" in done.stdout
    assert "5 passed" in done.stdout or "4 passed" in done.stdout
    [report] = tmp_path.glob("*.json")
    document = json.loads(report.read_text())
    assert "ST-PUT-01" in document["not_tried"]
    assert "failed" == document["levels"]["state"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.PASSED], Level.FULL),
        ([Status.PASSED, Status.UNDECLARED], Level.DECLARED),
        ([Status.UNDECLARED, Status.SKIPPED], Level.PARTIAL),
        ([Status.PASSED, Status.DESELECTED], Level.PARTIAL),
        ([Status.SKIPPED, Status.INCONCLUSIVE], Level.INCONCLUSIVE),
        ([Status.INCONCLUSIVE, Status.FAILED], Level.FAILED),
        ([Status.PASSED, Status.ERROR], Level.FAILED),
        ([], Level.INCONCLUSIVE),
    ],
)
def test_the_worst_that_happened_decides_the_level(statuses, expected):
    rule = catalogue()[0]

    assert expected is level(Outcome(rule, status) for status in statuses)


def test_a_rule_that_was_replaced_costs_the_level():
    outcomes = [Outcome(catalogue()[0], Status.PASSED)]

    assert Level.PARTIAL is level(outcomes, overridden=True)


def test_every_rule_is_one_sentence_and_has_an_id_of_its_profile():
    for rule in catalogue():
        assert rule.text.endswith(".")
        assert ". " not in rule.text
    assert len({rule.id for rule in catalogue()}) == len(catalogue())


def test_the_documented_rules_are_those_that_are_tried(repository):
    document = (repository / "docs" / "conformance.md").read_text()

    assert document == replaced(document, "rules", rules_tables())


def test_the_document_says_what_the_kept_reports_say(repository):
    document = (repository / "docs" / "conformance.md").read_text()

    assert document == replaced(
        document, "reports", reports_table(repository / "docs" / "conformance")
    )
