"""What a member leaves on its disk becomes a new cluster, with everything that was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import os
import secrets
import socket
from pathlib import Path

import pytest

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.member.binary import inspect
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.rebuild import rebuild
from formal_cluster_store_etcd.member.restore_tool import find_restore_tool
from formal_cluster_store_etcd.member.wal import read_log, read_position

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

MIB = 1 << 20
SMALL_SNAPSHOTS = ("--snapshot-count", "100")


@pytest.fixture
async def client():
    """`client(endpoint, …)`: a client; all are closed in the end."""
    made = []

    def make(*endpoints):
        made.append(EtcdClient(timeout_s=60, attempt_s=30))
        made[-1].set_endpoints(endpoints)
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
async def binary(etcd_binary):
    return await inspect(Path(etcd_binary), allow_known_bad=False)


@pytest.fixture
def rebuilt(binary, etcd_make):
    """`await rebuilt(member)`: the member that is made of a stopped one's data, not started."""

    async def make(source, **changes):
        new = etcd_make(f"new-of-{source.name}")
        new.data_dir.mkdir()
        arguments = {
            "source": source.data_dir / "member",
            "target": new.data_dir / "member",
            "work": new.data_dir / "rebuild",
            "name": new.name,
            "peer_url": new.peer_url,
            "token": secrets.token_hex(16),
            "binary": binary,
            "tool": await find_restore_tool(binary),
            "logger": logging.getLogger("test"),
        }
        await rebuild(**{**arguments, **changes})
        assert [new.data_dir / "member"] == list(new.data_dir.iterdir())
        return new

    return make


def started(member):
    member.start()
    member.wait_ready()
    return member


def contents(directory):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def raft_index(member):
    return int(member.ask("maintenance/status")["raftIndex"])


# ── nothing acknowledged is lost ─────────────────────────────────────────────────────────────


async def test_a_follower_gives_what_was_acknowledged_beyond_its_commit_index(
    calm_cluster, rebuilt, client
):
    members = calm_cluster.members
    leader = calm_cluster.leader()
    store = client(members[leader].endpoint)
    for number in range(50):
        await store.put(b"key", b"%d" % number)
    calm_cluster.pause((leader + 1) % 3)  # so that it is this follower that acknowledges
    revision = await store.put(b"last", b"acknowledged")
    for member in members:
        member.kill()
    follower = members[leader - 1]
    log = read_log(follower.data_dir / "member")
    assert log.state.commit < log.last.index
    before = contents(follower.data_dir)

    new = started(await rebuilt(follower))
    assert before == contents(follower.data_dir)
    survivor = client(new.endpoint)
    assert b"acknowledged" == (await survivor.get(b"last")).value
    assert b"49" == (await survivor.get(b"key")).value
    assert revision < await survivor.put(b"more", b"")
    (only,) = (await ClusterApi().members(new.endpoint)).members
    assert (new.name, (new.peer_url,), False) == (only.name, only.peer_urls, only.is_learner)


@pytest.mark.parametrize("first_to_die", ["leader", "follower"])
async def test_of_three_killed_under_load_the_one_that_came_furthest_has_all(
    etcd_cluster, rebuilt, client, eventually, first_to_die
):
    members = etcd_cluster.members
    acknowledged = set()

    async def write(number):
        for count in itertools.count():
            with contextlib.suppress(StoreError):
                key = b"%d/%d" % (number, count)
                await store.put(key, b"value")
                acknowledged.add(key)

    leader = etcd_cluster.leader()
    store = client(members[leader].endpoint)
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(number)) for number in range(8)]
        await eventually(lambda: len(acknowledged) > 300)
        first = members[leader] if first_to_die == "leader" else members[leader - 1]
        for member in (first, *members):
            member.kill()
        for writer in writers:
            writer.cancel()
    best = max(members, key=lambda member: read_position(member.data_dir / "member"))
    new = started(await rebuilt(best))
    found = {entry.key for entry in (await client(new.endpoint).list(b"")).entries}
    assert set() == acknowledged - found


async def test_a_learner_is_a_source_too(etcd_start, etcd_make, rebuilt, client, eventually):
    voter = etcd_start("voter")
    learner = etcd_make("learner")
    await ClusterApi().add_learner(voter.endpoint, [learner.peer_url])
    learner.initial_cluster = f"{voter.itself},{learner.itself}"
    learner.cluster_state = "existing"
    learner.start()
    await client(voter.endpoint).put(b"key", b"value")

    async def in_sync():
        with contextlib.suppress(StoreError):
            return (await ClusterApi().status(learner.endpoint)).raft_index >= raft_index(voter)

    await eventually(in_sync)
    voter.kill()
    learner.kill()
    new = started(await rebuilt(learner))
    assert b"value" == (await client(new.endpoint).get(b"key")).value


@pytest.mark.parametrize("writes", [70, 250], ids=["several segments", "several snapshots"])
async def test_the_position_is_etcds_own_and_long_logs_are_rebuilt(
    etcd_start, rebuilt, client, writes
):
    member = etcd_start("single", *SMALL_SNAPSHOTS)
    store = client(member.endpoint)
    value = bytes(MIB if writes < 100 else 100)
    for number in range(writes):
        await store.put(b"%d" % number, value)
    index = raft_index(member)
    member.kill()
    segments = list((member.data_dir / "member" / "wal").glob("*.wal"))
    assert (len(segments) > 1) == (writes < 100)
    assert index == read_position(member.data_dir / "member").index
    new = started(await rebuilt(member))
    assert writes == len((await client(new.endpoint).list(b"")).entries)


async def test_a_member_whose_log_has_nothing_after_its_snapshot_is_rebuilt_again(
    etcd_start, rebuilt, client
):
    member = etcd_start("single")
    await client(member.endpoint).put(b"key", b"value")
    member.kill()
    once = await rebuilt(member)
    twice = started(await rebuilt(once))
    assert b"value" == (await client(twice.endpoint).get(b"key")).value


async def test_history_and_revisions_go_on_where_they_were(etcd_start, rebuilt, client):
    member = etcd_start("single")
    before = client(member.endpoint)
    first = await before.put(b"key", b"one")
    last = await before.put(b"key", b"two")
    member.kill()
    after = client(started(await rebuilt(member)).endpoint)
    values = []
    async with contextlib.aclosing(after.watch(b"key", from_revision=first)) as updates:
        while len(values) < 2:
            values += [event.value for event in (await anext(updates)).events]
    assert [b"one", b"two"] == values
    assert last + 1 == await after.put(b"key", b"three")


# ── it is done apart, and all or nothing ─────────────────────────────────────────────────────


async def test_the_copy_never_meets_the_members_it_knows(etcd_make, rebuilt, client):
    host = own_address()
    members = [etcd_make(name, host=host) for name in ("one", "two")]
    everyone = ",".join(member.itself for member in members)
    for member in members:
        member.initial_cluster = everyone
        member.start()
    for member in members:
        member.wait_ready()
    await client(members[0].endpoint).put(b"key", b"value")
    for member in members:
        member.kill()
    met = []

    async def meet(_reader, writer):
        met.append(writer)
        writer.close()

    server = await asyncio.start_server(meet, *members[1].peer)
    async with server:
        new = await rebuilt(members[0])
        assert [] == met
    assert b"value" == (await client(started(new).endpoint).get(b"key")).value


async def test_what_an_attempt_left_that_was_killed_is_in_nobodys_way(
    etcd_start, rebuilt, client, tmp_path
):
    member = etcd_start("single")
    await client(member.endpoint).put(b"key", b"value")
    member.kill()
    work = tmp_path / "rebuild"
    (work / "member" / "wal").mkdir(parents=True)
    (work / "restored").mkdir()
    (work / "restored" / "file").touch()
    new = await rebuilt(member, work=work)
    assert not work.exists()
    assert b"value" == (await client(started(new).endpoint).get(b"key")).value


async def test_data_that_etcd_cannot_read_is_named_and_nothing_is_left_behind(
    etcd_start, rebuilt, tmp_path
):
    member = etcd_start("single")
    member.kill()
    database = member.data_dir / "member" / "snap" / "db"
    database.write_bytes(b"no database" * 10_000)
    target = tmp_path / "member"
    with pytest.raises(CannotStart, match="a copy of the data cannot be read: "):
        await rebuilt(member, target=target, work=tmp_path / "rebuild")
    assert [] == list(tmp_path.iterdir())


async def test_a_disk_without_the_space_is_told_before_anything_is_copied(
    etcd_start, rebuilt, tmp_path
):
    member = etcd_start("single")
    member.kill()
    huge = member.data_dir / "member" / "snap" / "db"
    os.truncate(huge, 1 << 42)
    with pytest.raises(CannotStart, match=r"takes \d+ MiB more, and .* has \d+ MiB free"):
        await rebuilt(member, target=tmp_path / "member", work=tmp_path / "rebuild")
    assert [] == list(tmp_path.iterdir())


async def test_present_data_is_never_overwritten(etcd_start, rebuilt):
    member = etcd_start("single")
    member.kill()
    before = contents(member.data_dir)
    with pytest.raises(CannotStart, match="exists already, and is not overwritten"):
        await rebuilt(member, target=member.data_dir / "member")
    assert before == contents(member.data_dir)


async def test_a_source_without_a_database_is_named(etcd_make, rebuilt, tmp_path):
    with pytest.raises(CannotStart, match="holds no etcd database"):
        await rebuilt(etcd_make("never-started"))


async def test_when_it_is_cancelled_etcd_ends_and_nothing_is_left_behind(
    etcd_start, rebuilt, tmp_path, eventually
):
    member = etcd_start("single")
    member.kill()
    work = tmp_path / "rebuild"
    task = asyncio.create_task(rebuilt(member, target=tmp_path / "member", work=work))
    await eventually((work / "member" / "snap" / "db").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [] == list(tmp_path.iterdir())


def own_address():
    """An address of this machine that is not loopback; connecting UDP sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has loopback addresses only")
        return probe.getsockname()[0]
