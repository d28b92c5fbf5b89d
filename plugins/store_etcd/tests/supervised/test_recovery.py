"""Real etcds lose their majority for good, and the cluster goes on from what is left."""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster.model import InstanceState, Role, StoreState, View
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.commands.recover import recover
from formal_cluster_store_etcd.member.requests import write_request
from formal_cluster_store_etcd.peers.lineage import parse_lineage
from formal_cluster_store_etcd.planning.lineage import KEY, Lineage
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]

FAST = {"recovery_after_s": 1.0}


async def test_of_three_the_last_one_recovers_everything_when_the_platform_vouches_for_the_deaths(
    fleet, start_all, eventually
):
    everyone = await formed(fleet(3), start_all, eventually)
    survivor, *killed = everyone
    keys = {f"key-{n}".encode(): str(n).encode() for n in range(50)}
    for key, value in keys.items():
        revision = await everyone[1].put(key, value)
    await eventually(lambda: survivor.holds(revision))
    before = survivor.status.cluster_id
    await asyncio.gather(*(crash(instance) for instance in killed))
    say(everyone, {instance.id: InstanceState.STOPPED for instance in killed})
    await eventually(lambda: survivor.serves and survivor.status.cluster_id != before)
    await eventually(lambda: write(survivor, b"after", b"x"))
    for key, value in keys.items():
        assert value == await survivor.read(key)
    lineage = await lineage_at(survivor)
    assert 2 == lineage.epoch
    assert [(1, before)] == [(a.epoch, a.cluster_id) for a in lineage.ancestors]


async def test_without_proof_of_death_it_waits_says_what_to_do_and_heals_by_itself(
    fleet, start_all, eventually
):
    everyone = await formed(fleet(3, **FAST), start_all, eventually)
    survivor, *killed = everyone
    before = survivor.status.cluster_id
    revision = await survivor.put(b"key", b"kept")
    await eventually(lambda: survivor.holds(revision))
    await asyncio.gather(*(crash(instance) for instance in killed))
    await eventually(lambda: "--i-know-the-others-are-dead" in survivor.error)
    assert StoreState.NO_QUORUM is survivor.status.state
    assert survivor.etcd_pid is not None
    await start_all(killed)
    await eventually(lambda: all(i.serves for i in everyone))
    assert {before} == {i.status.cluster_id for i in everyone}
    assert b"kept" == await survivor.read(b"key")


async def test_the_learner_that_stands_by_takes_over_from_the_only_voter(
    fleet, start_all, eventually
):
    voter, learner = await standing_by(fleet(2, **FAST), start_all, eventually)
    revision = await voter.put(b"key", b"kept")
    await eventually(lambda: learner.holds(revision))
    before = learner.status.cluster_id
    await crash(voter)
    say([learner], {voter.id: InstanceState.STOPPED, learner.id: InstanceState.RUNNING})
    await eventually(lambda: learner.serves and learner.status.cluster_id != before)
    assert b"kept" == await learner.read(b"key")
    await eventually(lambda: learner.members(Role.VOTER) == {learner.id})


async def test_the_voter_does_not_need_the_learner(fleet, start_all, eventually):
    voter, learner = await standing_by(fleet(2, **FAST), start_all, eventually)
    before = voter.status.cluster_id
    await crash(learner)
    say([voter], {learner.id: InstanceState.STOPPED})
    await eventually(lambda: voter.serves and {m.id for m in voter.status.members} == {voter.id})
    assert before == voter.status.cluster_id


async def test_instances_restarted_with_their_disks_at_new_addresses_go_on_with_the_data(
    fleet, start_all, eventually
):
    everyone = await formed(fleet(3, **FAST), start_all, eventually)
    await everyone[0].put(b"key", b"kept")
    before = everyone[0].status.cluster_id
    await asyncio.gather(*(instance.stop() for instance in everyone))
    for instance in everyone:
        instance.instance = at_a_new_address(instance.instance)
    view = View(tuple(instance.instance for instance in everyone))
    for instance in everyone:
        instance.discovery.view = view
    await start_all(everyone)
    await eventually(lambda: all(i.members(Role.VOTER) == ids(everyone) for i in everyone))
    assert b"kept" == await everyone[2].read(b"key")
    assert 2 == (await lineage_at(everyone[0])).epoch
    assert before in {a.cluster_id for a in (await lineage_at(everyone[1])).ancestors}


async def test_a_client_that_is_left_alone_founds_the_next_epoch_without_data(
    fleet, start_all, eventually
):
    everyone = fleet(4, **FAST)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    voters = everyone[0].members(Role.VOTER)
    (client,) = (i for i in everyone if i.id not in voters)
    before = client.status.cluster_id
    await asyncio.gather(*(crash(i) for i in everyone if i is not client))
    await eventually(lambda: client.status.state is StoreState.NO_QUORUM)
    say([client], dict.fromkeys(voters, InstanceState.STOPPED))
    await eventually(lambda: client.serves and client.status.cluster_id != before)
    assert 2 == (await lineage_at(client)).epoch


async def test_one_silent_instance_that_is_not_known_to_be_dead_blocks_the_recovery(
    fleet, start_all, eventually
):
    everyone = fleet(4, **FAST)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == 3 for i in everyone))
    voters = [i for i in everyone if i.id in everyone[0].members(Role.VOTER)]
    (client,) = (i for i in everyone if i not in voters)
    survivor, *killed = voters
    before = survivor.status.cluster_id
    await asyncio.gather(*(crash(i) for i in (*killed, client)))
    say([survivor], {i.id: InstanceState.STOPPED for i in killed})
    await eventually(lambda: f"{client.id} is needed" in survivor.error)
    assert survivor.etcd_pid is None
    assert before == survivor.status.cluster_id
    await client.start()
    client.discovery.view = survivor.discovery.view
    await eventually(lambda: survivor.serves and client.serves)
    assert client.status.cluster_id == survivor.status.cluster_id != before


async def test_the_others_set_their_older_data_aside_and_join_the_restored_cluster(
    fleet, start_all, eventually
):
    everyone = await formed(fleet(5, voters=5, **FAST), start_all, eventually)
    survivors, killed = everyone[:2], everyone[2:]
    revision = await survivors[0].put(b"key", b"kept")
    await eventually(lambda: survivors[0].holds(revision))
    before = survivors[0].status.cluster_id
    await asyncio.gather(*(crash(instance) for instance in killed))
    say(survivors, {instance.id: InstanceState.STOPPED for instance in killed})
    await eventually(lambda: all(i.serves and i.status.cluster_id != before for i in survivors))
    assert 1 == len({i.status.cluster_id for i in survivors})
    assert b"kept" == await survivors[1].read(b"key")
    # One of the dead comes back against all promises, with its disk of the first epoch.
    returned = killed[0]
    await returned.start()
    await eventually(
        lambda: returned.serves and returned.status.cluster_id == survivors[0].status.cluster_id,
    )
    assert ["set-aside-1"] == [path.name for path in returned.data_dir.glob("set-aside-*")]
    assert b"kept" == await returned.read(b"key")


async def test_of_two_clusters_that_meet_the_younger_joins_the_older(fleet, start_all, eventually):
    older, younger = fleet(2)
    for one in (older, younger):
        one.discovery.view = View((one.instance,))
        await one.start()
        await eventually(lambda one=one: one.serves)
        await one.put(b"key", one.id.encode())
    assert older.status.cluster_id != younger.status.cluster_id
    stays = older.status.cluster_id
    both = View((older.instance, younger.instance))
    older.discovery.view = younger.discovery.view = both
    await eventually(lambda: younger.serves and younger.status.cluster_id == stays)
    assert older.id.encode() == await younger.read(b"key")
    assert stays == older.status.cluster_id
    await eventually(lambda: younger.status.role is Role.LEARNER)
    assert ["set-aside-1"] == [path.name for path in younger.data_dir.glob("set-aside-*")]


async def test_an_operator_can_vouch_for_the_deaths(fleet, start_all, eventually):
    everyone = await formed(fleet(3, **FAST), start_all, eventually)
    survivor, *killed = everyone
    revision = await survivor.put(b"key", b"kept")
    await eventually(lambda: survivor.holds(revision))
    before = survivor.status.cluster_id
    await asyncio.gather(*(crash(instance) for instance in killed))
    await eventually(lambda: "--i-know-the-others-are-dead" in survivor.error)
    told = await asyncio.to_thread(recover_command, survivor, "--i-know-the-others-are-dead")
    assert 0 == told.exit_code, told.output
    await eventually(lambda: survivor.serves and survivor.status.cluster_id != before)
    assert b"kept" == await survivor.read(b"key")
    # The vouching is used up: those that come back join, and are waited for ever after.
    await start_all(killed)
    await eventually(lambda: all(i.serves for i in everyone))
    assert 1 == len({i.status.cluster_id for i in everyone})


async def test_an_operators_word_is_dropped_while_a_quorum_answers(fleet, eventually):
    (one,) = fleet(1, **FAST)
    await one.start()
    await eventually(lambda: one.serves)
    before = one.status.cluster_id
    request = write_request(one.data_dir)
    await eventually(lambda: not request.exists())
    await eventually(lambda: one.serves)
    assert before == one.status.cluster_id


def test_the_command_wants_to_be_meant_and_to_be_run_beside_the_data(fleet):
    (one,) = fleet(1)
    refused = recover_command(one)
    assert 2 == refused.exit_code
    assert "this may lose data and must be meant" in refused.output
    refused = recover_command(one, "--i-know-the-others-are-dead")
    assert "run this command where an instance keeps its data" in str(refused.exception)


async def test_a_restoration_that_was_interrupted_is_finished_after_a_restart(
    fleet, start_all, eventually
):
    voter, learner = await standing_by(fleet(2, **FAST), start_all, eventually)
    revision = await voter.put(b"key", b"kept")
    await eventually(lambda: learner.holds(revision))
    before = learner.status.cluster_id
    await crash(voter)
    say([learner], {voter.id: InstanceState.STOPPED})
    file = learner.data_dir / "formal-cluster.json"
    await eventually(
        lambda: (
            '"stage": "restoring"' in file.read_text() or '"stage": "founding"' in file.read_text()
        ),
    )
    await crash(learner)
    await learner.start()
    await eventually(lambda: learner.serves and learner.status.cluster_id != before)
    assert b"kept" == await learner.read(b"key")
    assert 2 == (await lineage_at(learner)).epoch


# ── helpers ──────────────────────────────────────────────────────────────────────────────────


async def formed(everyone, start_all, eventually):
    await start_all(everyone)
    await eventually(
        lambda: all(i.serves and i.members(Role.VOTER) == ids(everyone) for i in everyone)
    )
    await eventually(lambda: all(knows_the_voters(i, len(everyone)) for i in everyone))
    return everyone


async def standing_by(everyone, start_all, eventually):
    await start_all(everyone)
    one, two = everyone
    await eventually(
        lambda: (
            two.serves and {*one.members(Role.VOTER), *one.members(Role.LEARNER)} == ids(everyone)
        ),
    )
    (voter,) = (i for i in everyone if i.id in two.members(Role.VOTER))
    (learner,) = (i for i in everyone if i is not voter)
    await eventually(lambda: knows_the_voters(learner, 1))
    return voter, learner


def recover_command(instance, *options: str) -> Result:
    settings = instance.data_dir.with_suffix(".toml")
    settings.write_text(
        "[discovery]\ndrivers = ['static']\n"
        f"[discovery.static]\nself = '{instance.id}'\n"
        f"instances = [{{ id = '{instance.id}', address = '{instance.instance.address}' }}]\n"
        f"[store]\ndriver = 'etcd'\n[store.etcd]\ndata_dir = '{instance.data_dir}'\n"
    )
    return CliRunner().invoke(recover, [*options, "--config", str(settings)])


def knows_the_voters(instance, count: int) -> bool:
    return count == len(instance.store._supervisor.runner._place.own.voters)


def ids(instances) -> set[str]:
    return {instance.id for instance in instances}


async def crash(instance) -> None:
    """Its etcd is killed, and its supervisor does nothing more."""
    if instance.etcd_pid is not None:
        instance.kill_etcd()
    await instance.stop()


def say(to, states: dict[str, InstanceState]) -> None:
    """What the platform says of some instances, from now on."""
    for instance in to:
        instances = instance.discovery.view.instances
        instance.discovery.view = View(
            tuple(replace(i, state=states.get(i.id, i.state)) for i in instances)
        )


def at_a_new_address(instance):
    host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with socket.socket() as client, socket.socket() as peer:
        client.bind((host, 0))
        peer.bind((host, 0))
        return replace(
            instance,
            address=host,
            client_port=client.getsockname()[1],
            peer_port=peer.getsockname()[1],
        )


async def write(instance, key: bytes, value: bytes) -> int | None:
    try:
        return await instance.store.put(key, value)
    except (Unavailable, OutcomeUnknown):
        return None


async def lineage_at(instance) -> Lineage:
    client = EtcdClient([Endpoint(instance.instance.address, instance.instance.client_port)])
    try:
        return parse_lineage((await client.get(KEY)).value)
    finally:
        await client.aclose()
