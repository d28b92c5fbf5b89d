"""Questions to single members, and changes of a real cluster."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from formal_cluster.errors import NotWritable, OutcomeUnknown, Unavailable
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.cluster_errors import (
    BadTransferee,
    ClusterUnhealthy,
    LearnerNotReady,
    MemberNotFound,
    NotALearner,
    NotLeader,
    PeerUrlExists,
    TooManyLearners,
)
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.planning.members import Alarm
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


@pytest.fixture
def api() -> ClusterApi:
    return ClusterApi(status_timeout_s=20, timeout_s=20)


async def test_a_member_says_who_and_how_it_is(api, etcd_single):
    status = await api.status(etcd_single.endpoint)
    assert status.member_id == status.leader_id
    assert status.version.startswith("3.")
    assert 0 < status.applied_index <= status.raft_index
    assert 1 == status.revision
    assert status.db_size > 0
    assert not status.is_learner
    assert () == status.errors


async def test_nobody_there_is_unavailable(api, etcd_single):
    etcd_single.kill()
    for call in (
        api.status(etcd_single.endpoint),
        api.members(etcd_single.endpoint),
        api.remove(etcd_single.endpoint, 1),
    ):
        with pytest.raises(Unavailable, match="failed to connect"):
            await call


async def test_a_member_that_hangs_is_unavailable_within_the_deadline(etcd_single):
    etcd_single.pause()
    api = ClusterApi(status_timeout_s=0.2)
    with pytest.raises(Unavailable):
        await api.status(etcd_single.endpoint)
    with pytest.raises(Unavailable):
        await api.remove(etcd_single.endpoint, 1)


async def test_a_learner_is_added_started_promoted_and_removed(
    api, etcd_start, etcd_make, eventually
):
    # The leader is to stay the leader until it is told otherwise.
    patience = ("--heartbeat-interval", "500", "--election-timeout", "20000")
    etcd_single = etcd_start("single", *patience)
    joining = etcd_make("joining", *patience)
    added = await api.add_learner(etcd_single.endpoint, [joining.peer_url])
    assert (joining.peer_url,) == added.member.peer_urls
    assert "" == added.member.name
    assert {"single", ""} == {member.name for member in added.members}

    with pytest.raises(PeerUrlExists):
        await api.add_learner(etcd_single.endpoint, [joining.peer_url])
    with pytest.raises(TooManyLearners):
        await api.add_learner(etcd_single.endpoint, ["http://127.0.0.1:1"])
    with pytest.raises(LearnerNotReady):
        await api.promote(etcd_single.endpoint, added.member.id)

    joining.initial_cluster = f"{etcd_single.itself},{joining.itself}"
    joining.cluster_state = "existing"
    joining.start()

    async def learner_status():
        try:
            return await api.status(joining.endpoint)
        except Unavailable:
            return None

    status = await eventually(learner_status)
    assert status.is_learner
    assert added.member.id == status.member_id
    with pytest.raises(Unavailable, match="not supported for learner"):
        await api.members(joining.endpoint, linearizable=False)

    async def promoted() -> bool:
        try:
            await api.promote(etcd_single.endpoint, added.member.id)
        except LearnerNotReady:
            return False
        return True

    await eventually(promoted)

    async def refused() -> bool:
        try:
            await api.promote(etcd_single.endpoint, added.member.id)
        except LearnerNotReady:  # a leader elected just now does not know yet how far the other is
            return False
        except NotALearner:
            return True
        return False

    await eventually(refused)

    async def seen_as_voter() -> bool:
        members = (await api.members(etcd_single.endpoint)).members
        return [(False, "joining")] == [
            (member.is_learner, member.name) for member in members if member.id == added.member.id
        ]

    await eventually(seen_as_voter)

    leader, other = etcd_single, joining
    own_id, other_id = [(await api.status(member.endpoint)).member_id for member in (leader, other)]
    assert own_id == (await api.status(other.endpoint)).leader_id
    with pytest.raises(NotLeader):
        await api.move_leader(other.endpoint, other_id)
    with pytest.raises(BadTransferee):
        await api.move_leader(leader.endpoint, 12345)
    await api.move_leader(leader.endpoint, other_id)

    async def leads() -> bool:
        return other_id == (await api.status(other.endpoint)).leader_id

    await eventually(leads)

    async def removed() -> bool:
        try:
            await api.remove(other.endpoint, own_id)
        except ClusterUnhealthy:  # until the voters have been connected for five seconds
            return False
        return True

    await eventually(removed)

    async def alone() -> bool:
        try:
            return len((await api.members(other.endpoint)).members) == 1
        except Unavailable:
            return False

    await eventually(alone)
    with pytest.raises(MemberNotFound):
        await api.remove(other.endpoint, own_id)
    listed = await api.members(other.endpoint)
    assert [other_id] == [member.id for member in listed.members]
    assert other_id == listed.answered_by


async def test_without_a_quorum_a_voter_still_answers_status_and_an_unconfirmed_member_list(
    api, etcd_cluster, eventually
):
    endpoint = etcd_cluster.endpoints[0]
    listed = await api.members(endpoint)
    etcd_cluster.kill(1)
    etcd_cluster.kill(2)

    async def leaderless() -> bool:
        return (await api.status(endpoint)).leader_id == 0

    await eventually(leaderless)
    assert (await api.status(endpoint)).errors
    unconfirmed = await api.members(endpoint, linearizable=False)
    assert set(listed.members) == set(unconfirmed.members)
    with pytest.raises(Unavailable, match="no leader"):
        await api.members(endpoint)
    with pytest.raises(Unavailable, match="no leader"):
        await api.remove(endpoint, listed.members[1].id)


async def test_a_change_that_the_leader_never_confirms_is_unknown(calm_cluster):
    leader = calm_cluster.leader()
    asked = (leader + 1) % 3
    calm_cluster.pause(leader)
    calm_cluster.pause((leader + 2) % 3)
    with pytest.raises(OutcomeUnknown):
        await ClusterApi(timeout_s=2).remove(calm_cluster.endpoints[asked], 12345)


async def fill(client: EtcdClient, size: int) -> None:
    """Write values of that size until nothing can be written any more."""
    for number in itertools.count():
        try:
            await client.put(b"key", number.to_bytes(4, "big") * (size // 4))
        except NotWritable:
            return
        except (OutcomeUnknown, Unavailable):
            continue  # at the edge etcd applies what it refuses: the next value is told apart


async def test_a_full_member_raises_an_alarm(api, etcd_start, eventually):
    full = etcd_start("full", "--quota-backend-bytes", str(1 << 20))
    assert () == await api.alarms(full.endpoint)
    client = EtcdClient([full.endpoint])
    await fill(client, 500_000)
    await client.aclose()

    alarm = (await eventually(lambda: api.alarms(full.endpoint)))[0]
    status = await api.status(full.endpoint)
    assert Alarm(status.member_id, "NOSPACE") == alarm
    assert any("NOSPACE" in error for error in status.errors)


async def test_a_full_member_has_room_again_once_compacted_defragmented_and_disarmed(
    api, etcd_start, eventually
):
    full = etcd_start("full", "--quota-backend-bytes", str(1 << 20))
    client = EtcdClient([full.endpoint])
    await fill(client, 100_000)
    (alarm,) = await eventually(lambda: api.alarms(full.endpoint))
    before = await api.status(full.endpoint)
    for _ in range(2):
        await api.compact(full.endpoint, before.revision)
    await api.defragment(full.endpoint)
    await api.disarm(full.endpoint, alarm)
    assert () == await api.alarms(full.endpoint)
    after = await api.status(full.endpoint)
    assert after.db_size < before.db_size / 2
    assert after.db_in_use <= after.db_size
    assert before.revision + 1 == await client.put(b"key", b"fits")
    await client.aclose()


async def test_a_member_is_told_to_be_elsewhere(api, etcd_cluster):
    asked, moved = etcd_cluster.endpoints[0], etcd_cluster.members[2]
    listed = (await api.members(asked)).members
    (member,) = (m for m in listed if m.name == moved.name)
    await api.update_peer_urls(asked, member.id, ("http://127.0.0.1:1",))
    listed = (await api.members(asked)).members
    assert [("http://127.0.0.1:1",)] == [m.peer_urls for m in listed if m.id == member.id]


async def test_a_server_that_is_no_etcd_is_unavailable(api):
    async def answer_http1(reader, writer) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer_http1, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unavailable, match="http1"):
            await api.status(Endpoint(*server.sockets[0].getsockname()))
