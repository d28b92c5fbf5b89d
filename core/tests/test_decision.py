"""The whole way of a decision, with drivers made for the purpose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.decision import Decider, merge_fields
from formal_cluster.errors import InputError
from formal_cluster.hookspecs import ClusterInfo, CountersContext
from formal_cluster.model import (
    ClusterState,
    CounterKey,
    CounterRead,
    Decision,
    Grade,
    Instance,
    Stage,
    Window,
)
from formal_cluster.policy import load_policies, plan
from formal_cluster.protocols import Enricher
from formal_cluster.settings import Settings
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

PRE, POST = Stage.PRE_REQUEST, Stage.POST_REQUEST
LIMIT = 'pre_request := {"action": "block"} if input.bucket.access_count.last_minute > 2'


class Adds:
    """An enricher that adds what it is told to, and counts how often it is asked."""

    def __init__(self, what: Mapping[str, Any]) -> None:
        self.what = what
        self.asked = 0

    def enrich(self, stage: Stage, document: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked += 1
        return self.what


class AddsOnly(Adds):
    """The same, and it says which fields."""

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(self.what)


class Fails:
    def enrich(self, stage: Stage, document: Mapping[str, Any]) -> Mapping[str, Any]:
        raise RuntimeError("the directory is down")


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reachable = True
        self.state = ClusterState.CLUSTERED

    def decider(
        self, *rules: str, enrichers: tuple[Enricher, ...] = (), **settings: Any
    ) -> Decider:
        for number, rule in enumerate(rules):
            (self.directory / f"p{number}.rego").write_text(f"package formal.v2\n\n{rule}\n")
        counters = {"strict_deadline_ms": 50_000}
        read = Settings.model_validate({"counters": counters} | settings)
        logger = logging.getLogger("test")
        self.store = MemoryStateStore(MemoryStore(), logger)
        context = CountersContext(Instance("a", "127.0.0.1"), self.store, b"/c/", logger)
        self.counters = LogCounters(LogCountersSettings(), context)
        policies = load_policies([self.directory], read.counter)
        return Decider(read, lambda: policies, self.counters, enrichers, self._info)

    def _info(self) -> ClusterInfo:
        return ClusterInfo(self.state, 0, 2, self.reachable)

    def cut_off(self) -> None:
        self.reachable, self.state = False, ClusterState.DEGRADED


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    return Site(tmp_path)


def access(decider: Decider, user: str = "alice", stage: Stage = PRE) -> Decision:
    return decider.decide(stage, {"user": {"id": user}, "bucket": {"name": "b"}})


def test_a_denied_attempt_does_not_count_and_does_not_extend_the_block(site: Site) -> None:
    decider = site.decider(LIMIT)
    assert ["allow", "allow", "block", "block"] == [access(decider).action for _ in range(4)]
    read = CounterRead(
        CounterKey("bucket.access_count", ("alice", "b")), (Window.parse("last_minute"),)
    )
    assert 2 == site.counters.peek([read])[0][0].value


def test_with_count_denied_every_attempt_counts(site: Site) -> None:
    decider = site.decider(LIMIT, counter=[{"name": "access_count", "count_denied": True}])
    values = [access(decider).counters[0].value for _ in range(5)]
    assert [1, 2, 3, 4, 5] == values


def test_at_another_stage_the_count_is_read_without_the_present_attempt(site: Site) -> None:
    decider = site.decider(
        LIMIT, 'post_request := {"action": "mask"} if input.bucket.access_count.last_minute == 1'
    )
    access(decider)
    after = access(decider, stage=POST)
    assert ("mask", 1) == (after.action, after.counters[0].value)
    assert 1 == access(decider, stage=POST).counters[0].value


def test_an_enricher_is_asked_only_if_somebody_reads_its_fields(site: Site) -> None:
    unread, read, unsaid = AddsOnly({"geo": 1}), AddsOnly({"user": {"id": "x"}}), Adds({"z": 1})
    decider = site.decider(LIMIT, enrichers=(unread, read, unsaid))
    decision = access(decider)
    assert (0, 1, 1) == (unread.asked, read.asked, unsaid.asked)
    assert ("x", "b") == decision.counters[0].key.subject


def test_a_failing_enricher_blocks_or_is_left_out_as_configured(site: Site) -> None:
    blocked = access(site.decider(LIMIT, enrichers=(Fails(),)))
    assert "block" == blocked.action
    assert blocked.reason is not None
    assert "the directory is down" in blocked.reason
    skipping = site.decider(LIMIT, enrichers=(Fails(),), enrichment={"on_error": "skip"})
    assert "allow" == access(skipping).action


@pytest.mark.parametrize(
    ("on_degraded", "actions"),
    [
        ("local", ["allow", "allow", "block"]),
        ("block", ["block", "block", "block"]),
        ("allow", ["allow", "allow", "allow"]),
    ],
)
def test_without_the_shared_state_each_counter_does_as_it_is_told(
    site: Site, on_degraded: str, actions: list[str]
) -> None:
    counter = {"name": "access_count", "on_degraded": on_degraded}
    decider = site.decider(LIMIT, counter=[counter])
    site.cut_off()
    assert actions == [access(decider).action for _ in range(3)]


async def test_a_strict_counter_blocks_by_default_when_the_log_is_out_of_reach(
    site: Site,
) -> None:
    decider = site.decider(LIMIT, counter=[{"name": "access_count", "grade": "strict"}])
    with pytest.raises(InputError, match="decide_strict"):
        access(decider)
    site.cut_off()
    document = {"user": {"id": "alice"}, "bucket": {"name": "b"}}
    decision = await decider.decide_as_declared(PRE, document)
    assert "block" == decision.action
    assert decision.reason is not None
    assert "input.bucket.access_count" in decision.reason


async def test_forced_strict_never_falls_back_to_the_local_count(site: Site) -> None:
    decider = site.decider(LIMIT)
    document = {"user": {"id": "alice"}, "bucket": {"name": "b"}}
    decision = await decider.decide_strict(PRE, document)  # the counters were never started
    assert ("block", None) == (decision.action, decision.grade)
    assert "allow" == access(decider).action


async def test_strict_decisions_share_their_count_with_eventual_ones(site: Site) -> None:
    decider = site.decider(LIMIT)
    await site.store.start()
    await site.counters.start()
    async with asyncio.timeout(50):
        while not site.counters.status().caught_up:
            await asyncio.sleep(0.005)
    document = {"user": {"id": "alice"}, "bucket": {"name": "b"}}
    first = await decider.decide_strict(PRE, document)
    assert ("allow", Grade.STRICT) == (first.action, first.grade)
    assert "allow" == access(decider).action
    assert "block" == (await decider.decide_strict(PRE, document)).action
    await site.counters.stop()
    await site.store.stop()


def test_merging_never_changes_the_callers_objects() -> None:
    given = {"user": {"id": "a", "tags": {"x": 1}}}
    document = dict(given)
    merge_fields(document, {"user": {"tags": {"y": 2}}, "new": 1})
    assert {"user": {"id": "a", "tags": {"x": 1, "y": 2}}, "new": 1} == document
    assert {"user": {"id": "a", "tags": {"x": 1}}} == given


DOCUMENT = {"user": {"id": "alice"}, "bucket": {"name": "b"}}


async def test_a_reserved_counter_is_decided_by_hits_reserved_before_or_after_a_wait(
    site: Site,
) -> None:
    decider = site.decider(
        LIMIT.replace("2", "100"), counter=[{"name": "access_count", "grade": "reserved"}]
    )
    await site.store.start()
    await site.counters.start()
    try:
        async with asyncio.timeout(50):
            while not site.counters.status().caught_up:
                await asyncio.sleep(0.005)
        with pytest.raises(InputError, match="decide_reserved"):
            access(decider)
        decisions = [await decider.decide_as_declared(PRE, DOCUMENT) for _ in range(10)]
        async with asyncio.timeout(50):
            while True:  # from the same thread, between the loop's turns
                await asyncio.sleep(0.01)
                try:
                    decisions.append(access(decider))
                    break
                except InputError:
                    continue
        decisions.append(await decider.decide_reserved(PRE, DOCUMENT))
    finally:
        await site.counters.stop()

    assert list(range(1, 13)) == [decision.counters[0].value for decision in decisions]
    assert {Grade.RESERVED} == {decision.grade for decision in decisions}


async def test_a_reserved_counter_out_of_reach_blocks_unless_it_may_go_on_locally(
    site: Site,
) -> None:
    reserved = {"name": "access_count", "grade": "reserved"}
    decider = site.decider(LIMIT, counter=[reserved])
    site.cut_off()
    decision = await decider.decide_as_declared(PRE, DOCUMENT)
    assert ("block", True) == (decision.action, decision.reason is not None)
    assert "block" == access(decider).action

    local = site.decider(LIMIT, counter=[{**reserved, "on_degraded": "local"}])
    assert ["allow", "allow", "block"] == [access(local).action for _ in range(3)]
    assert "block" == (await local.decide_reserved(PRE, DOCUMENT)).action


async def test_strict_goes_before_reserved_and_that_before_eventual(site: Site) -> None:
    def grade(*grades: str) -> Grade | None:
        counters = [{"name": f"c{n}", "grade": g} for n, g in enumerate(grades)]
        conditions = "; ".join(f"input.bucket.c{n}.last_minute > 5" for n in range(len(grades)))
        rule = f'pre_request := {{"action": "block"}} if {{ {conditions} }}'
        (site.directory / "p0.rego").write_text(f"package formal.v2\n{rule}\n")
        read = Settings.model_validate({"counter": counters})
        policies = load_policies([site.directory], read.counter)
        return plan(DOCUMENT, PRE, policies.uses_at(PRE)).grade

    assert Grade.RESERVED is grade("eventual", "reserved")
    assert Grade.RESERVED is grade("reserved", "eventual")
    assert Grade.STRICT is grade("eventual", "reserved", "strict")
    assert Grade.EVENTUAL is grade("eventual")
