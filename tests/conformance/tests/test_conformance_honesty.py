"""What only looks like a proof is not taken for one: each of these must cost the level."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import subprocess
import sys

import pytest

from formal_cluster.errors import Unavailable
from formal_cluster.model import Capability
from formal_cluster_conformance import bed, rules, tampering
from formal_cluster_conformance.declaration import Fault
from formal_cluster_conformance.levels import Level, level_of, underclaimed
from formal_cluster_conformance.report.document import document
from formal_cluster_conformance.report.markdown import markdown
from formal_cluster_conformance.results import Status
from formal_cluster_conformance.rules import Profile
from formal_cluster_conformance.running import run
from formal_cluster_conformance.zoo.healthy import Healthy, ZooBacking, declare

HOLLOW = """
from dataclasses import replace
from functools import wraps
from formal_cluster_conformance import bed, rules

rules.catalogue()
asked = rules._RULES["ST-PUT-01"]

@wraps(asked.check)
async def passes(bed):
    pass

rules._RULES["ST-PUT-01"] = replace(asked, check=passes)
bed.expect = lambda *_: None

def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "ST-CAS" not in item.name]
"""
TESTS = """
from formal_cluster_conformance.pytest_plugin import conformance_of
test_rule = conformance_of("memory", "state")
"""


async def tried(declaration, *rule_ids):
    profile = Profile.FAILOVER if rule_ids[0].startswith("FO") else Profile.STATE
    return await run(declaration, profiles=[profile], seed=1, quick=True, only=rule_ids)


def outcome_of(results, rule_id):
    return next(outcome for outcome in results.outcomes if outcome.rule.id == rule_id)


def with_server(**methods):
    """The healthy store, on a server with some methods replaced."""

    @contextlib.asynccontextmanager
    async def opened(_directory):
        backing = ZooBacking(Healthy, 1)
        for name, method in methods.items():
            setattr(backing.server, name, method)
        async with backing.server:
            yield backing

    return dataclasses.replace(declare(Healthy, 1), open=opened)


async def nothing(**_):
    """A node that does not do what it is told to."""


async def test_a_kill_that_nothing_died_of_proves_nothing():
    results = await tried(with_server(kill=nothing), "FO-KILL", "FO-MINORITY")

    for rule_id in ("FO-KILL-01", "FO-KILL-02", "FO-KILL-03"):
        outcome = outcome_of(results, rule_id)
        assert Status.INCONCLUSIVE is outcome.status
        assert "was to be killed, and its connections go on" in outcome.detail
    assert Level.INCONCLUSIVE is level_of(results, Profile.FAILOVER)


async def test_a_node_that_nobody_could_see_dying_proves_nothing():
    @contextlib.asynccontextmanager
    async def opened(_directory):
        backing = ZooBacking(Healthy, 1)
        async with backing.server:
            backing.server._socket.close()
            await backing.server._socket.wait_closed()
            backing.nodes = (Elsewhere(backing.server),)
            yield backing

    results = await tried(dataclasses.replace(declare(Healthy, 1), open=opened), "ST-LIFE-04")

    outcome = outcome_of(results, "ST-LIFE-04")
    assert (Status.INCONCLUSIVE, True) == (outcome.status, "nobody would see it" in outcome.detail)


class Elsewhere:
    """A node whose address is made up."""

    name = "server"
    address = ("127.0.0.1", 1)

    def __init__(self, server):
        self.kill, self.restart = server.kill, server.restart


async def test_a_pause_that_held_nobody_up_proves_nothing():
    results = await tried(with_server(pause=nothing), "FO-PAUSE-01")

    outcome = outcome_of(results, "FO-PAUSE-01")
    assert Status.INCONCLUSIVE is outcome.status
    assert "calls that the fault pause hindered: 0, at least 1 wanted" in outcome.detail


async def test_calls_that_a_fault_holds_up_until_it_is_over_count_as_hindered():
    class AnswersLate(Healthy):
        async def ask(self):
            if self.server.away:
                while self.server.away:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(1)
            await super().ask()

    outcome = outcome_of(await tried(declare(AnswersLate, 1), "FO-KILL-01"), "FO-KILL-01")

    assert (Status.PASSED, "") == (outcome.status, outcome.detail)


async def test_a_way_that_no_driver_uses_proves_nothing_when_it_is_cut(monkeypatch):
    monkeypatch.setattr(ZooBacking, "through_proxies", True)
    declaration = dataclasses.replace(declare(Healthy, 1), faults={Fault.PARTITION})

    results = await tried(declaration, "FO-PARTITION-01")

    outcome = outcome_of(results, "FO-PARTITION-01")
    assert Status.INCONCLUSIVE is outcome.status
    assert "no driver has a connection through the suite's proxies" in outcome.detail


class KnowsWhenItServes(Healthy):
    """Promises more when it has met its server."""

    started = False

    async def start(self):
        await super().start()
        self.started = True

    @property
    def capabilities(self):
        everything = super().capabilities
        return everything if self.started else everything - {Capability.SURVIVES_RESTART}


async def test_capabilities_are_those_of_a_driver_that_serves():
    results = await tried(declare(KnowsWhenItServes, 1), "ST-LIFE-04", "ST-GET")

    assert Capability.SURVIVES_RESTART in results.declared
    assert () == underclaimed(results)
    assert () == outcome_of(results, "ST-LIFE-04").lacking


class OneClaimsMore(Healthy):
    """Promises nothing of restarts, but for one of its instances."""

    def __init__(self, server):
        super().__init__(server)
        server.notes.setdefault("drivers", []).append(self)

    @property
    def capabilities(self):
        claims = super().capabilities
        if self is self.server.notes["drivers"][1]:
            return claims
        return claims - {Capability.SURVIVES_RESTART}


async def test_what_one_instance_claims_is_demanded():
    results = await tried(declare(OneClaimsMore, 1), "ST-GET")

    assert Capability.SURVIVES_RESTART in results.declared


async def test_what_a_declaration_allows_itself_is_in_the_report():
    lenient = dataclasses.replace(declare(Healthy, 1), ttl_slack_s=3600.0)
    report = document(await tried(lenient, "ST-GET"))

    expected = 3600.0
    assert expected == report["declaration"]["ttl_slack_s"]
    assert ["kill", "pause", "stop-all", "wipe"] == report["declaration"]["faults"]
    assert "declared ttl slack s: 3600" in markdown(report)


async def test_a_store_that_does_not_start_is_failed():
    class Refuses(Healthy):
        async def start(self):
            raise ValueError("no")

    outcome = outcome_of(await tried(declare(Refuses, 1), "ST-GET-01"), "ST-GET-01")

    assert Status.FAILED is outcome.status
    assert "the driver does not start: ValueError('no')" in outcome.detail


def test_the_suite_as_installed_is_not_said_to_be_replaced():
    rules.catalogue()

    assert () == tampering.replaced()


def test_a_function_under_another_ones_name_is_found(monkeypatch):
    monkeypatch.setattr(bed, "expect", functools.wraps(bed.expect)(lambda *_: None))
    monkeypatch.setattr(bed.Bed, "size", lambda *_: 1)

    assert {"bed.Bed.size"} <= set(tampering.replaced())


@pytest.fixture(scope="module")
def report_of_a_hollow_run(tmp_path_factory):
    """What an author's pytest reports whose conftest replaces, hollows out and deselects."""
    directory = tmp_path_factory.mktemp("hollow")
    (directory / "conftest.py").write_text(HOLLOW)
    (directory / "test_conformance.py").write_text(TESTS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-k", "ST-GET or ST-PUT or ST-CAS or ST-DEL"),
            *("--deselect", "test_conformance.py::test_rule[ST-DEL-01]"),
            *("--conformance-report", directory, directory),
        ],
        cwd=directory,
        env={"PYTHONPATH": f"{directory}:{':'.join(filter(None, sys.path))}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return json.loads((directory / "memory.json").read_text())


@pytest.mark.timeout(180)  # for the first one, whose setup imports everything in a process anew
def test_what_an_authors_conftest_replaces_is_listed(report_of_a_hollow_run):
    assert {"ST-PUT-01", "bed.expect"} == set(report_of_a_hollow_run["overridden"])


def test_what_an_authors_pytest_leaves_out_is_listed(report_of_a_hollow_run):
    not_tried = report_of_a_hollow_run["not_tried"]

    assert "ST-DEL-01" in not_tried
    assert {"ST-CAS-01", "ST-CAS-05"} <= set(not_tried)


def test_a_green_pytest_does_not_make_a_hollow_run_better_than_partial(report_of_a_hollow_run):
    assert {"state": "partial"} == report_of_a_hollow_run["levels"]


async def test_a_store_that_is_away_in_the_middle_of_a_sequence_is_no_wrong_one():
    class AwayNowAndThen(Healthy):
        calls = 0

        async def put(self, *arguments, **options):
            self.calls += 1
            if self.calls % 40 == 39:
                raise Unavailable("the machine has other work")
            return await super().put(*arguments, **options)

    outcome = outcome_of(await tried(declare(AwayNowAndThen, 1), "ST-SEQ"), "ST-SEQ-01")

    assert Status.INCONCLUSIVE is outcome.status
    assert "the machine has other work" in outcome.detail
