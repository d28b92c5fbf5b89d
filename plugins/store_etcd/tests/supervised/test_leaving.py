"""Instances are told to stop: they hand over what they have, and those who stay go on."""

from __future__ import annotations

import asyncio

import pytest

from formal_cluster.errors import StoreError
from formal_cluster.model import InstanceState, Role
from formal_cluster_store_etcd import supervisor
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]

REMOVED = "it has been removed"
TOGETHER = "everyone here is leaving; the members stay for the next start"
NO_QUORUM = "no quorum answers that could remove it"


def all_vote(instances) -> bool:
    ids = {instance.id for instance in instances}
    return all(i.serves and i.members(Role.VOTER) == ids for i in instances)


async def leave_and_stop(instance) -> str | None:
    """As on SIGTERM; why it stayed no longer, None if it did not even begin to leave."""
    await instance.store.leave()
    decided = [e.evidence for e in instance.store.journal() if e.planner == "leaving"]
    await instance.stop()
    return decided[-1] if decided else None


@pytest.fixture
def leader_of(eventually):
    async def leader_of(instances):
        """The one that they all take for the leader."""

        def agreed():
            (name, *others) = {i.status.leader for i in instances}
            return not others and next((i for i in instances if i.id == name), None)

        return await eventually(agreed)

    return leader_of


def members_of(instance):
    endpoint = Endpoint(instance.instance.address, instance.instance.client_port)
    return ClusterApi().members(endpoint)


class Writer:
    """Writes one key after the other through an instance, and notes what was acknowledged."""

    def __init__(self, instance) -> None:
        self.store = instance.store
        self.acknowledged: list[bytes] = []
        self.failures: list[StoreError] = []

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        for number in range(1_000_000):
            key = b"written/%07d" % number
            try:
                await self.store.put(key, b"")
                self.acknowledged.append(key)
            except StoreError as error:
                self.failures.append(error)
            await asyncio.sleep(0.005)


async def test_three_become_one_in_turn_and_one_becomes_three(
    fleet, start_all, eventually, leader_of
):
    everyone = fleet(3, leave_grace_s=100)
    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    await everyone[0].put(b"key", b"kept")

    first = await leader_of(everyone)
    rest = [i for i in everyone if i is not first]
    assert REMOVED == await leave_and_stop(first)
    await eventually(lambda: all_vote(rest))
    second, last = rest
    assert REMOVED == await leave_and_stop(second)
    await eventually(lambda: all_vote([last]))
    assert TOGETHER == await leave_and_stop(last)

    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    assert 1 == len({i.status.cluster_id for i in everyone})
    assert b"kept" == await first.read(b"key")


async def test_writes_go_on_while_the_leader_leaves_and_none_is_lost(
    fleet, start_all, eventually, leader_of
):
    everyone = fleet(3, leave_grace_s=100)
    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    leader = await leader_of(everyone)
    other = next(i for i in everyone if i is not leader)
    async with Writer(leader) as own, Writer(other) as elsewhere:
        await eventually(lambda: min(len(own.acknowledged), len(elsewhere.acknowledged)) > 20)
        await leader.store.leave()
        assert leader.etcd_pid is None
        await eventually(lambda: leader.status.role is Role.CLIENT)
        count = len(own.acknowledged)
        await eventually(lambda: len(own.acknowledged) > count)
    # What is under way while the leadership moves may be lost: its outcome is unknown.
    for writer in (own, elsewhere):
        assert len(writer.failures) < len(writer.acknowledged)
    await leader.stop()
    kept = set(await other.keys(b"written/"))
    assert set(own.acknowledged) | set(elsewhere.acknowledged) <= kept


async def test_of_two_the_voter_leaves_and_the_learner_takes_its_place(
    fleet, start_all, eventually, leader_of
):
    two = fleet(2, leave_grace_s=100)
    await start_all(two)
    await eventually(lambda: all(len(i.members(Role.LEARNER)) == 1 for i in two))
    voter = await leader_of(two)
    (learner,) = (i for i in two if i is not voter)
    assert {i.id for i in two} == await learner.store.present()
    await voter.put(b"key", b"kept")
    assert REMOVED == await leave_and_stop(voter)
    await eventually(lambda: all_vote([learner]))
    assert b"kept" == await learner.read(b"key")


async def test_a_voter_that_leaves_is_replaced_by_a_client_first(
    fleet, start_all, eventually, leader_of
):
    everyone = fleet(4, leave_grace_s=100)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    (client,) = (i for i in everyone if i.status.role is Role.CLIENT)
    leaver = await leader_of(everyone)
    counts = []

    async def count_voters() -> None:
        while True:
            if members := client.status.members:
                counts.append(sum(member.role is Role.VOTER for member in members))
            await asyncio.sleep(0.02)

    counting = asyncio.create_task(count_voters())
    assert REMOVED == await leave_and_stop(leaver)
    counting.cancel()
    stay = [i for i in everyone if i is not leaver]
    await eventually(lambda: all_vote(stay))
    assert 3 == min(counts)


async def test_all_stop_at_once_and_nobody_waits_or_is_removed(
    fleet, start_all, eventually, monkeypatch
):
    # The leader looks so long whether others leave too. On a slow machine they tell it late.
    monkeypatch.setattr(supervisor, "_LEAVING_SETTLE_S", 20.0)
    everyone = fleet(3, stop_grace_s=5, leave_grace_s=100)
    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    cluster_id = everyone[0].status.cluster_id
    assert {TOGETHER} == set(await asyncio.gather(*map(leave_and_stop, everyone)))
    assert [] == [path for i in everyone for path in i.data_dir.glob("set-aside-*")]

    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    assert {cluster_id} == {i.status.cluster_id for i in everyone}


async def test_who_is_expected_back_with_its_data_is_not_removed(fleet, start_all, eventually):
    everyone = fleet(3, leave_on_stop=False)
    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    gone = everyone[0]
    assert await leave_and_stop(gone) is None
    assert 3 == len((await members_of(everyone[1])).members)
    await gone.start()
    await eventually(lambda: all_vote(everyone))
    assert [] == list(gone.data_dir.glob("set-aside-*"))


async def test_without_a_quorum_nobody_waits_for_long(fleet, start_all, eventually):
    everyone = fleet(3, stop_grace_s=5, leave_grace_s=100)
    await start_all(everyone)
    await eventually(lambda: all_vote(everyone))
    one, two, three = everyone
    for instance in (one, two):
        await instance.stop()
    assert NO_QUORUM == await leave_and_stop(three)


async def test_a_member_that_stopped_for_good_is_replaced_by_a_spare(fleet, start_all, eventually):
    everyone = fleet(4)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    lost = next(i for i in everyone if i.status.role is Role.VOTER)
    stay = [i for i in everyone if i is not lost]
    lost.kill_etcd()
    await lost.stop()
    for instance in stay:
        instance.discovery.declare(lost.id, InstanceState.STOPPED)
    await eventually(lambda: all_vote(stay))


async def test_a_silent_voter_is_replaced_though_the_platform_says_that_it_runs(
    fleet, start_all, eventually
):
    everyone = fleet(4, replace_silent_after_s=10)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    for instance in everyone:
        for known in everyone:
            instance.discovery.declare(known.id, InstanceState.RUNNING)
    silent = next(i for i in everyone if i.status.role is Role.VOTER)
    stay = [i for i in everyone if i is not silent]
    await silent.stop()
    await eventually(lambda: all_vote(stay))


async def test_a_learner_that_never_starts_gives_its_place_to_another(fleet, start_all, eventually):
    one, two, three = fleet(3, stalled_learner_s=10, genesis_deadline_s=0)
    one.discovery.view = type(one.discovery.view)((one.instance,))
    await one.start()
    await eventually(lambda: one.serves)
    one.discovery.view = two.discovery.view
    # There, and never able to start its etcd: only its presence is announced.
    await one.put(b"/formal-cluster-members/instances/instance-1", _presence(two.instance), ttl=120)
    endpoint = Endpoint(one.instance.address, one.instance.client_port)
    await eventually(lambda: _learners(endpoint))
    await three.start()
    await eventually(lambda: three.status.role is Role.LEARNER)


async def _learners(endpoint):
    return [m for m in (await ClusterApi().members(endpoint)).members if m.is_learner]


def _presence(instance) -> bytes:
    from formal_cluster_store_etcd.names import member_name
    from formal_cluster_store_etcd.planning.presence import Presence

    return (
        Presence(
            instance=instance.id,
            incarnation="0000000a",
            member=member_name(instance.id, "0000000a"),
            address=instance.address,
            client_port=instance.client_port,
            peer_port=instance.peer_port,
            peer_url=f"http://{instance.address}:{instance.peer_port}",
            version="3.4.23",
        )
        .model_dump_json()
        .encode()
    )


async def test_a_dry_run_decides_and_does_nothing(fleet, start_all, eventually):
    one, two = fleet(2, dry_run=True)
    await start_all([one, two])
    await eventually(lambda: "Intend" in [e.step for e in one.store.journal()])
    (entry,) = (e for e in one.store.journal() if e.step == "Intend")
    assert "not carried out: store.etcd.dry_run is set" == entry.outcome
    assert one.etcd_pid is None
    assert "dry_run" in " ".join(one.status.warnings)
