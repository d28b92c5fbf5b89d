"""What a member leaves on its disk becomes a new cluster, with everything that was acknowledged."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import pytest

from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.member.binary import inspect
from formal_cluster_store_etcd.member.rebuild import rebuild
from formal_cluster_store_etcd.member.restore_tool import find_restore_tool
from formal_cluster_store_etcd.member.wal import read_log

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


@pytest.fixture
async def client():
    """`client(endpoint, …)`: a client; all are closed in the end."""
    made = []

    def make(*endpoints):
        made.append(EtcdClient())
        made[-1].set_endpoints(endpoints)
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
def rebuilt(etcd_binary, etcd_make):
    """`await rebuilt(member)`: the member that is made of a stopped one's data, not started."""

    async def make(source, **changes):
        binary = await inspect(Path(etcd_binary), allow_known_bad=False)
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
        return new

    return make


async def test_a_follower_gives_what_was_acknowledged_beyond_its_commit_index(
    etcd_cluster, rebuilt, client
):
    members = etcd_cluster.members
    leader = etcd_cluster.leader()
    store = client(members[leader].endpoint)
    for number in range(50):
        await store.put(b"key", b"%d" % number)
    revision = await store.put(b"last", b"acknowledged")
    for member in members:
        member.kill()
    follower = members[leader - 1]
    log = read_log(follower.data_dir / "member")
    assert log.state.commit < log.last.index

    new = await rebuilt(follower)
    new.start()
    new.wait_ready()
    survivor = client(new.endpoint)
    assert b"acknowledged" == (await survivor.get(b"last")).value
    assert b"49" == (await survivor.get(b"key")).value
    assert revision <= await survivor.put(b"more", b"")
    (only,) = (await ClusterApi().members(new.endpoint)).members
    assert (new.name, (new.peer_url,), False) == (only.name, only.peer_urls, only.is_learner)
