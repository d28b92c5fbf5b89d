"""An etcd that is operated elsewhere: what is said of it, and when it is not there."""

from __future__ import annotations

import asyncio
from subprocess import DEVNULL

import pytest

from formal_cluster import Cluster
from formal_cluster.errors import Unavailable
from formal_cluster.model import Capability, ClusterState, Role, StoreState
from formal_cluster_store_etcd.settings import EtcdSettings

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(300)]


@pytest.fixture
def user_of(fleet):
    """`user_of(*members, **settings)`: an instance, not started, with these as its endpoints."""

    def make(*members, **settings):
        (one,) = fleet(1, tls=False)
        one.settings = {"endpoints": [member.client_url for member in members], **settings}
        return one

    return make


async def test_the_condition_tells_of_the_members_as_etcd_lists_them(
    user_of, etcd_cluster, eventually
):
    one = user_of(*etcd_cluster.members)
    await one.start()
    status = await eventually(lambda: one.serves and one.status.members and one.status)
    assert Role.CLIENT is status.role
    leads = etcd_cluster.members[etcd_cluster.leader()].name
    await eventually(lambda: one.status.leader == leads)
    await eventually(lambda: {"one", "two", "three"} == one.members(Role.VOTER))
    assert status.revision > 0
    assert status.stale_ms < 2_000, "or it would not be said to serve"
    assert status.last_error is None
    assert frozenset(Capability) == one.store.capabilities
    assert not one.data_dir.exists()

    etcd_cluster.kill((etcd_cluster.leader() + 1) % 3)
    await eventually(lambda: one.serves and len(one.members(Role.VOTER)) == 2)
    for index in range(3):
        etcd_cluster.kill(index)
    await eventually(lambda: one.status.state is StoreState.NO_QUORUM)
    await eventually(lambda: "failed to connect" in one.error)


async def test_one_that_does_not_answer_is_named_and_used_once_it_does(
    user_of, etcd_make, eventually
):
    elsewhere = etcd_make("elsewhere")
    one = user_of(elsewhere)
    await one.start()
    await eventually(lambda: str(elsewhere.endpoint) in one.error)
    assert StoreState.STARTING is one.status.state
    assert one.status.role is None
    with pytest.raises(Unavailable, match="failed to connect"):
        await one.store.put(b"refused", b"value")
    elsewhere.start()
    await eventually(lambda: one.serves)
    await one.put(b"key", b"value")
    assert [b"key"] == await one.keys(b"")


async def test_certificate_files_that_are_missing_are_named_and_read_once_they_are_there(
    user_of, etcd_make, authority, tmp_path, eventually
):
    elsewhere = etcd_make("elsewhere", scheme="https")
    tls = authority.issue("elsewhere", elsewhere.endpoint.host)
    elsewhere.flags = ("--cert-file", tls["certificate"], "--key-file", tls["key"])
    elsewhere.start()
    one = user_of(elsewhere, tls={"ca": tmp_path / "ca.crt"})
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert one.error.startswith(f"store.etcd.tls.ca {tmp_path}/ca.crt cannot be read")
    with pytest.raises(Unavailable, match=r"ca\.crt cannot be read"):
        await one.store.get(b"key")
    (tmp_path / "ca.crt").write_bytes(authority.ca.read_bytes())
    await eventually(lambda: one.serves)


async def test_etcd_knows_a_user_by_the_name_in_the_certificate_and_may_refuse_it(
    user_of, etcd_make, authority, eventually
):
    elsewhere = etcd_make("elsewhere", scheme="https")
    server = authority.issue("server", elsewhere.endpoint.host)
    elsewhere.flags = ("--cert-file", server["certificate"], "--key-file", server["key"])
    elsewhere.flags += ("--trusted-ca-file", server["ca"], "--client-cert-auth")
    elsewhere.start()
    root = authority.issue("root")
    etcdctl = ("etcdctl", "--endpoints", elsewhere.client_url, "--cacert", root["ca"])
    etcdctl += ("--cert", root["certificate"], "--key", root["key"])

    async def administer(*command: str) -> None:
        process = await asyncio.create_subprocess_exec(*etcdctl, *command, stdout=DEVNULL)
        assert 0 == await process.wait()

    one = user_of(elsewhere, tls=authority.issue("connector", purposes="clientAuth"))
    await one.start()
    await eventually(lambda: one.serves)
    await administer("user", "add", "root:unused")
    await administer("user", "grant-role", "root", "root")
    await administer("role", "add", "everything")
    await administer("user", "add", "connector:unused")
    await administer("user", "grant-role", "connector", "everything")
    await administer("auth", "enable")
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert "permission denied" in one.error

    await administer("role", "grant-permission", "everything", "--prefix", "readwrite", "")
    await eventually(lambda: one.serves)
    assert await one.put(b"key", b"value", ttl=10)


async def test_a_bug_shows_in_the_status(user_of, etcd_single, eventually):
    one = user_of(etcd_single)
    await one.start()

    async def broken():
        raise ZeroDivisionError("a bug")

    one.store._client.ping = broken
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert "a bug" in one.error


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"endpoints": ["http://a:1"], "data_dir": "/x"}, "so data_dir would mean nothing"),
        ({"endpoints": ["http://a:1"], "voters": 5, "peer_port": 1}, "so peer_port, voters would"),
        ({"endpoints": ["https://a:1"]}, "is https: set tls.ca"),
        ({"endpoints": ["http://a:1"], "tls": {"ca": "/ca"}}, "is not https, but tls is set"),
        ({"endpoints": ["https://a:1", "http://b:1"], "tls": {"ca": "/ca"}}, "http://b:1 is not"),
        ({"endpoints": ["a:2379"]}, "'a:2379' is not like https://etcd-1:2379"),
        ({"endpoints": ["http://a"]}, "not a URL with a host and a port"),
        ({"endpoints": ["http://a:99999"]}, "out of range"),
        ({"endpoints": ["http://u:p@a:1"]}, "is not like"),
        ({"tls": {"ca": "/ca"}}, "tls lacks certificate and key"),
        ({"tls": {"ca": "/ca", "key": "/k"}}, "certificate and key belong together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        EtcdSettings(**settings)


def test_only_the_embedded_etcd_needs_discovery():
    assert EtcdSettings().needs_discovery
    assert not EtcdSettings(endpoints=["http://etcd-1:2379"]).needs_discovery


POLICY = """package formal.v2

import future.keywords.if

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.bucket.access_count.last_minute > 5
}
"""


async def test_instances_with_nothing_but_an_id_limit_a_user_together(
    etcd_single, tmp_path, eventually
):
    (tmp_path / "policy.rego").write_text(POLICY)

    def instance(name: str) -> Cluster:
        return Cluster.from_settings(
            {
                "instance": {"id": name},
                "store": {"driver": "etcd", "etcd": {"endpoints": [etcd_single.client_url]}},
                "policy": {"paths": [str(tmp_path / "policy.rego")]},
                "counters": {"strict_deadline_ms": 30_000},
            }
        )

    async with instance("a") as a, instance("b") as b:
        clusters = (a, b)
        await eventually(lambda: all(c.status().state is ClusterState.CLUSTERED for c in clusters))
        access = {"user": {"id": "alice"}, "bucket": {"name": "ledger"}}
        decisions = [
            await clusters[turn % 2].decide_strict("pre_request", access) for turn in range(6)
        ]
    assert [True] * 5 + [False] == [decision.permitted for decision in decisions]
