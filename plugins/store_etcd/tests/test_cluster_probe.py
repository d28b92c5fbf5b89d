"""What is found at an instance's peer port, over real sockets."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from formal_cluster.model import Instance
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.ports import ensure_free
from formal_cluster_store_etcd.member.status_server import serve_status
from formal_cluster_store_etcd.peers import probe
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Silent, Stranger
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.urls import Endpoint

STATUS = status_of(Identity.fresh("a", "http://a.example:2380", "00000001"), "why it does not run")


@pytest.fixture
def where() -> Endpoint:
    """A free port of an address that nobody else uses."""
    host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with socket.create_server((host, 0)) as probe:
        return Endpoint(*probe.getsockname())


@pytest.fixture
def ask(monkeypatch):
    """Asks who is there, and has the time to wait for a slow machine's answer."""
    monkeypatch.setattr(probe, "_ANSWER_S", 20.0)

    async def ask_one(where: Endpoint, name: str = "a", client_port: int = 1):
        instance = Instance(name, where.host, client_port=client_port, peer_port=where.port)
        async with Prober(2379, 2380) as prober:
            return (await prober.ask_all([instance]))[name]

    return ask_one


async def test_a_supervisor_tells_its_status_until_it_frees_the_port(ask, where):
    async with serve_status(where, lambda: STATUS):
        assert NoEtcd(STATUS) == await ask(where)
        with pytest.raises(CannotStart, match=f"cannot listen on {where}"):
            ensure_free(where)
    ensure_free(where)
    assert isinstance(await ask(where), Silent)


async def test_the_port_is_freed_at_once_while_others_keep_asking(ask, where):
    async with asyncio.TaskGroup() as group:
        async with serve_status(where, lambda: STATUS):
            asking = [group.create_task(ask(where)) for _ in range(20)]
            await asking[0]
        ensure_free(where)
    assert {NoEtcd, Silent} >= {type(task.result()) for task in asking}


async def test_a_supervisor_of_another_instance_is_a_stranger(ask, where):
    async with serve_status(where, lambda: STATUS):
        found = await ask(where, "b")
    assert isinstance(found, Stranger)
    assert "is instance a, not b" in found.reason


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.0 404 Not Found\r\n\r\n",
        b'HTTP/1.0 200 OK\r\n\r\n{"format": 99}',
    ],
)
async def test_another_program_is_a_stranger_but_no_etcd(ask, where, answer):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, where.host, where.port):
        found = await ask(where)
    assert isinstance(found, Stranger)
    assert not found.is_etcd


async def test_one_who_accepts_and_says_nothing_is_silent(ask, where, monkeypatch):
    monkeypatch.setattr(probe, "_ANSWER_S", 0.2)
    with socket.create_server(where):
        assert isinstance(await ask(where), Silent)


@pytest.mark.etcd
async def test_a_member_of_ours_is_a_live_etcd_and_any_other_a_stranger(ask, etcd_start):
    ours = etcd_start("a-0123abcd")
    found = await ask(ours.peer, client_port=ours.endpoint.port)
    assert isinstance(found, LiveEtcd)
    assert found.serving
    assert ["a-0123abcd"] == [member.name for member in found.members]
    assert [(ours.peer_url,)] == [member.peer_urls for member in found.members]

    theirs = etcd_start("default")
    found = await ask(theirs.peer, client_port=theirs.endpoint.port)
    assert isinstance(found, Stranger)
    assert found.is_etcd
