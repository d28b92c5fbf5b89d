"""Real instances form one cluster, and hold it through kills and restarts."""

from __future__ import annotations

import asyncio

import pytest

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster.model import Role, StoreState, View
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]


async def test_one_instance_alone_serves_and_restarts_with_its_data(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    await eventually(lambda: one.serves and one.members(Role.VOTER) == {one.id})
    await one.put(b"key", b"kept")
    before = await eventually(lambda: one.status.leader and one.status)
    assert (one.id, Role.VOTER) == (before.leader, before.role)
    await one.stop()

    await one.start()
    await eventually(lambda: one.serves)
    assert b"kept" == await one.read(b"key")
    assert before.cluster_id == one.status.cluster_id


async def test_two_instances_are_a_voter_and_a_learner_that_stands_by(fleet, start_all, eventually):
    one, two = fleet(2)
    await start_all([one, two])
    await eventually(
        lambda: (two.members(Role.LEARNER), two.members(Role.VOTER)) == ({two.id}, {one.id})
    )
    await eventually(lambda: two.status.role is Role.LEARNER)
    await two.put(b"key", b"through the voter")
    assert b"through the voter" == await one.read(b"key")


async def test_three_form_one_cluster_and_survive_kills_and_a_restart_of_all(
    fleet, start_all, eventually
):
    everyone = fleet(3)
    ids = {instance.id for instance in everyone}
    await start_all(everyone)

    def formed():
        return all(i.serves and i.members(Role.VOTER) == ids for i in everyone)

    await eventually(formed)
    assert 1 == len({i.status.cluster_id for i in everyone})

    def agreed():
        (name, *others) = {i.status.leader for i in everyone}
        return not others and next((i for i in everyone if i.id == name), None)

    leader = await eventually(agreed)
    killed = leader.etcd_pid
    leader.kill_etcd()
    await eventually(lambda: _write(everyone[1], b"written without the leader"))
    await eventually(lambda: formed() and leader.etcd_pid not in {None, killed})

    cluster_id = everyone[0].status.cluster_id
    await asyncio.gather(*(i.stop() for i in everyone))
    await start_all(everyone)
    await eventually(formed)
    assert {cluster_id} == {i.status.cluster_id for i in everyone}
    assert b"written without the leader" == await everyone[2].read(b"key")


async def test_of_four_one_is_a_client_and_one_that_lost_its_disk_is_replaced(
    fleet, start_all, eventually
):
    everyone = fleet(4)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    ids = everyone[0].members(Role.VOTER)
    (client,) = (i for i in everyone if i.id not in ids)
    assert Role.CLIENT is client.status.role
    assert client.etcd_pid is None
    await client.put(b"key", b"from a client")

    lost = next(i for i in everyone if i.id in ids)
    await lost.stop()
    lost.lose_disk()
    await lost.start()
    await eventually(lambda: lost.status.role is Role.VOTER)
    await eventually(lambda: ids == {member.id for member in lost.status.members})
    assert b"from a client" == await lost.read(b"key")
    assert Role.CLIENT is client.status.role


async def test_a_member_that_was_removed_sets_its_data_aside_and_joins_anew(
    fleet, start_all, eventually
):
    one, two = fleet(2)
    await start_all([one, two])
    await eventually(lambda: two.members(Role.LEARNER) == {two.id})
    removed = two.etcd_pid
    await _remove_learner(one)
    await eventually(lambda: two.etcd_pid not in {None, removed})
    await eventually(lambda: two.status.role is Role.LEARNER)
    assert ["set-aside-1"] == [path.name for path in two.data_dir.glob("set-aside-*")]

    await two.stop()
    await _remove_learner(one)
    await two.start()
    await eventually(lambda: two.status.role is Role.LEARNER)
    assert ["set-aside-2"] == [path.name for path in two.data_dir.glob("set-aside-*")]


async def test_a_majority_founds_the_cluster_when_the_third_instance_never_comes(
    fleet, start_all, eventually
):
    one, two, _missing = fleet(3, genesis_deadline_s=1.0)
    await start_all([one, two])
    await eventually(lambda: one.serves and two.serves)
    assert one.status.cluster_id == two.status.cluster_id


async def test_a_minority_never_founds_one_however_long_it_waits(fleet, eventually):
    one, _two, _three = fleet(3, genesis_deadline_s=0)
    await one.start()
    await eventually(lambda: "less than a majority" in one.error)
    assert StoreState.STARTING is one.status.state
    with pytest.raises(Unavailable, match="less than a majority of the instances answers"):
        await one.store.put(b"key", b"value")


@pytest.mark.parametrize("complete", [False, None])
async def test_nothing_is_founded_on_discovery_that_fails_or_is_incomplete(
    fleet, eventually, complete
):
    (one,) = fleet(1)
    one.discovery.view = View((one.instance,), complete=bool(complete))
    one.discovery.available = complete is not None
    await one.start()
    await eventually(lambda: "discovery gives no complete answer" in one.error)
    assert one.etcd_pid is None
    one.discovery.view = View((one.instance,))
    one.discovery.available = True
    await eventually(lambda: one.serves)


async def _remove_learner(voter) -> None:
    endpoint = Endpoint(voter.instance.address, voter.instance.client_port)
    api = ClusterApi(voter.tls)
    (learner,) = (m for m in (await api.members(endpoint)).members if m.is_learner)
    await api.remove(endpoint, learner.id)


async def _write(instance, value: bytes) -> int | None:
    try:
        return await instance.store.put(b"key", value)
    except (Unavailable, OutcomeUnknown):
        return None
