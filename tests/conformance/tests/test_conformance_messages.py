"""What a driver's author is told: the call, the instance, how long it was waited for, and what in
the declaration has a say in it."""

import asyncio
import contextlib
import dataclasses

import pytest

from formal_cluster.errors import Unavailable
from formal_cluster.model import StoreState, StoreStatus
from formal_cluster_conformance import bed, load, site
from formal_cluster_conformance.results import Status
from formal_cluster_conformance.rules import catalogue
from formal_cluster_conformance.running import run_of
from formal_cluster_conformance.zoo.healthy import Healthy, ZooBacking, declare


class Second(Healthy):
    """A store whose second instance is broken."""

    def __init__(self, server):
        super().__init__(server)
        server.notes["made"] = server.notes.get("made", 0) + 1
        self.is_broken = server.notes["made"] == 2


class HangsInPut(Second):
    async def put(self, *arguments, **options):
        if self.is_broken:
            await asyncio.Event().wait()
        return await super().put(*arguments, **options)


class HangsInGet(Second):
    async def get(self, key):
        if self.is_broken:
            await asyncio.Event().wait()
        return await super().get(key)


class HangsInStart(Second):
    async def start(self):
        if self.is_broken:
            await asyncio.Event().wait()
        await super().start()


class HangsInStop(Second):
    async def stop(self):
        if self.is_broken:
            await asyncio.Event().wait()
        await super().stop()


class NeverServes(Second):
    def status(self):
        if self.is_broken:
            return StoreStatus(StoreState.NO_QUORUM, last_error="nobody answers")
        return super().status()


class RefusesToGet(Second):
    async def get(self, key):
        if self.is_broken:
            raise Unavailable("the machine has other work")
        return await super().get(key)


class RaisesOsError(Second):
    async def get(self, key):
        if self.is_broken:
            raise ConnectionResetError("by peer")
        return await super().get(key)


class SilentWatch(Healthy):
    async def watch(self, prefix, *, from_revision=None):
        await asyncio.Event().wait()
        yield


class WatchEnds(Healthy):
    async def watch(self, prefix, *, from_revision=None):
        for update in ():
            yield update


async def tried(rule_id, declaration, **changes):
    """What becomes of the rule, with some of its attributes changed."""
    rule = next(rule for rule in catalogue() if rule.id == rule_id)
    run = run_of(declaration, seed=1, quick=True)
    try:
        return await run.attempt(dataclasses.replace(rule, **changes))
    finally:
        await run.close()


def assert_told(outcome, status, *parts):
    assert (status, [True] * len(parts)) == (
        outcome.status,
        [part in outcome.detail for part in parts],
    ), outcome.detail


async def test_a_rule_that_takes_too_long_tells_what_it_waits_for():
    outcome = await tried("ST-PUT-03", declare(HangsInGet, 1), deadline_s=4)

    assert_told(
        outcome,
        Status.FAILED,
        "it was not done after 4 s; not returned: ",
        "get(b'/conformance/ST-PUT-03/0/k') on instance 1, after ",
    )


async def test_a_rule_that_takes_too_long_with_no_call_to_blame_says_that_too():
    class Slow(Healthy):
        async def put(self, *arguments, **options):
            await asyncio.sleep(0.05)
            return await super().put(*arguments, **options)

    outcome = await tried("ST-PUT-02", declare(Slow, 1), deadline_s=0.5)

    assert_told(outcome, Status.FAILED, "no call is waited for, and ", "the store is slow")


async def test_a_call_under_load_that_does_not_return_is_named(monkeypatch):
    monkeypatch.setattr(load, "_GIVE_UP_S", 2)

    outcome = await tried("ST-CONC-01", declare(HangsInPut, 1))

    assert_told(
        outcome,
        Status.FAILED,
        "a call has not returned: put(b'/conformance/ST-CONC-01/0/k/",
        ") on instance 1, after ",
        "An operation ends within seconds",
    )


async def test_a_store_that_is_away_is_told_with_the_call_and_the_ways_to_wait_for_it():
    outcome = await tried("ST-PUT-03", declare(RefusesToGet, 1))

    assert_told(
        outcome,
        Status.INCONCLUSIVE,
        "the machine has other work",
        "get(b'/conformance/ST-PUT-03/2/k') on instance 1, after ",
        "`open`",
        "`Backing.settled`",
    )


async def test_an_error_that_is_none_of_the_contract_is_told_with_its_call():
    outcome = await tried("ST-PUT-03", declare(RaisesOsError, 1))

    assert_told(
        outcome,
        Status.FAILED,
        "ConnectionResetError: by peer at get, ",
        "get(b'/conformance/ST-PUT-03/0/k') on instance 1, after ",
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (SilentWatch, "the watch is silent: the next update of watch(b'/conformance/ST-WATCH-02/"),
        (WatchEnds, "the first update: the watch ended by itself"),
    ],
)
async def test_a_watch_that_yields_nothing_is_named(kind, told, monkeypatch):
    monkeypatch.setattr(bed, "PATIENCE_S", 1)

    assert_told(await tried("ST-WATCH-02", declare(kind, 1)), Status.FAILED, told)


async def test_an_instance_that_does_not_start_is_named(monkeypatch):
    monkeypatch.setattr(site, "_START_S", 1)

    outcome = await tried("ST-GET-01", declare(HangsInStart, 1))

    assert_told(
        outcome, Status.FAILED, "the driver does not start: ", "start() on instance 1, after "
    )


async def test_an_instance_that_does_not_stop_is_named(monkeypatch):
    monkeypatch.setattr(site, "_STOP_S", 1)

    outcome = await tried("ST-START-01", declare(HangsInStop, 1))

    assert_told(outcome, Status.FAILED, "the driver does not stop: stop() on instance 1, after ")


async def test_an_instance_that_does_not_serve_is_named():
    declaration = dataclasses.replace(declare(NeverServes, 1), recovery_s=1.0)

    assert_told(
        await tried("ST-GET-01", declaration),
        Status.FAILED,
        "instance 1 does not serve within 1 s (`recovery_s` of the declaration)",
        "nobody answers",
    )


async def test_a_newcomer_that_never_answers_is_named():
    class NeverAgain(Healthy):
        async def start(self):
            await super().start()
            self.is_new = self.server.memory.keyspace.revision > 0

        async def get(self, key):
            if self.is_new:
                raise Unavailable("reading the log")
            return await super().get(key)

    declaration = dataclasses.replace(declare(NeverAgain, 1), recovery_s=2.0)

    assert_told(
        await tried("ST-START-01", declaration),
        Status.FAILED,
        "no answer on instance 1, which has just been started, within 2 s (`recovery_s`",
        "Unavailable('reading the log') from get(b'/conformance/ST-START-01/0/",
    )


async def test_an_instance_that_takes_no_writes_after_a_fault_is_named():
    class StaysAway(Healthy):
        async def put(self, *arguments, **options):
            if self.server.failovers:
                raise Unavailable("the connection is broken")
            return await super().put(*arguments, **options)

    declaration = dataclasses.replace(declare(StaysAway, 1), recovery_s=2.0)

    assert_told(
        await tried("FO-KILL-01", declaration),
        Status.FAILED,
        "2 s after the fault (`recovery_s` of the declaration) instance 0 is still not served: "
        "put(b'/conformance/FO-KILL-01/0/load/~0') raised Unavailable('the connection is broken')",
    )


async def test_nodes_that_the_declaration_waited_for_in_vain_are_told_as_that():
    class NeverSettled(ZooBacking):
        async def settled(self):
            async with asyncio.timeout(0.1):
                await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def opened(_directory):
        backing = NeverSettled(Healthy, 1)
        async with backing.server:
            yield backing

    declaration = dataclasses.replace(declare(Healthy, 1), open=opened)

    assert_told(
        await tried("FO-KILL-01", declaration),
        Status.FAILED,
        "the nodes are not complete again: settled() of the declaration's Backing, after ",
    )
