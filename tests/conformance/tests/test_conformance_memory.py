"""Core's own store keeps the contract, as far as it claims to; and what a run of the suite says."""

import asyncio
import contextlib
import dataclasses
import json

import jsonschema
import pytest

from formal_cluster.model import Capability
from formal_cluster_conformance.levels import Level, level_of, underclaimed
from formal_cluster_conformance.memory import DECLARATION, MemoryBacking
from formal_cluster_conformance.report.badge import badge
from formal_cluster_conformance.report.document import SCHEMA, document, dump
from formal_cluster_conformance.report.files import read, write
from formal_cluster_conformance.report.junit import junit
from formal_cluster_conformance.report.markdown import markdown
from formal_cluster_conformance.results import Status
from formal_cluster_conformance.rules import Profile, catalogue
from formal_cluster_conformance.running import run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def results():
    running = run(DECLARATION, profiles=[Profile.STATE], seed=7, quick=True)
    return asyncio.run(running)


def test_the_memory_store_keeps_what_it_declares_and_nothing_was_left_out(results):
    wrong = {o.rule.id: o.detail for o in results.outcomes if o.status is not Status.PASSED}

    assert {"ST-PUT-03", "ST-WATCH-11", "ST-LIFE-04", "ST-START-01"} == set(wrong)
    assert Level.DECLARED is level_of(results, Profile.STATE)
    assert () == underclaimed(results)


def test_every_rule_has_an_outcome(results):
    assert [rule.id for rule in catalogue(Profile.STATE)] == [o.rule.id for o in results.outcomes]


def test_the_report_follows_its_schema_and_is_read_back(results, tmp_path):
    report = document(results)
    write(report, tmp_path / "out.json")

    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report == read(tmp_path / "out.json")
    assert ["out.json", "out.md", "out.svg", "out.xml"] == sorted(
        path.name for path in tmp_path.iterdir()
    )


def test_the_report_names_seed_versions_and_how_to_repeat_it(results):
    report = document(results)

    assert 7 == report["run"]["seed"]
    assert {"formal-cluster", "formal-cluster-conformance", "python"} <= set(report["versions"])
    assert "--store memory --profile state --quick --seed 7" in report["run"]["reproduce"]


def test_every_form_of_the_report_tells_the_level(results):
    report = document(results)

    assert "**declared**" in markdown(report)
    assert 'name="state" value="declared"' in junit(report)
    assert "state: declared (quick)" in badge(report)
    assert '"state": "declared"' in dump(report)


async def test_rules_that_are_left_out_cost_the_level_and_are_listed():
    results = await run(DECLARATION, profiles=[Profile.STATE], seed=1, quick=True, only=["ST-PUT"])
    report = document(results)

    assert "partial" == report["levels"]["state"]
    assert "ST-CAS-01" in report["not_tried"]
    assert "ST-PUT-01" not in report["not_tried"]


async def test_sequences_hold_with_next_to_no_history_too():
    @contextlib.asynccontextmanager
    async def open_forgetful(_directory):
        yield MemoryBacking(history=4)

    results = await run(
        dataclasses.replace(DECLARATION, open=open_forgetful),
        profiles=[Profile.STATE],
        seed=1,
        quick=True,
        only=["ST-SEQ"],
    )

    [outcome] = [o for o in results.outcomes if o.status is not Status.DESELECTED]
    assert (Status.PASSED, "") == (outcome.status, outcome.detail)


async def test_the_same_seed_throws_the_same_dice():
    async def statuses():
        results = await run(
            DECLARATION, profiles=[Profile.STATE], seed=3, quick=True, only=["ST-SEQ", "ST-PUT"]
        )
        return [(o.rule.id, o.status, o.evidence) for o in results.outcomes]

    assert await statuses() == await statuses()


def test_the_memory_store_claims_neither_to_be_shared_nor_to_survive(results):
    never = {
        Capability.SHARED,
        Capability.SURVIVES_RESTART,
        Capability.SURVIVES_MINORITY_LOSS,
    }
    assert set(map(str, set(Capability) - never)) == set(results.declared)
