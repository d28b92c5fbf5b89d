"""Calls while members die, hang and come back: what is reported about a write must be true."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter

import pytest

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster_store_etcd.client.endpoints import Link
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.watch_stream import WatchStream
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = pytest.mark.etcd


@pytest.fixture
async def connect():
    clients: list[EtcdClient] = []

    def connect(endpoints, **options) -> EtcdClient:
        clients.append(EtcdClient(endpoints, **options))
        return clients[-1]

    yield connect
    for client in clients:
        await client.aclose()


@pytest.fixture
def dead_endpoint():
    """An address that refuses connections: bound, and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Endpoint(*bound.getsockname())


@pytest.fixture
def silent_endpoint():
    """An address that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Endpoint(*server.getsockname())


async def test_without_an_endpoint_calls_are_unavailable_at_once(connect):
    client = connect([])
    with pytest.raises(Unavailable, match="no etcd endpoint is known"):
        await client.put(b"key", b"v")


async def test_endpoints_set_later_are_used(connect, etcd_single):
    client = connect([])
    client.set_endpoints([etcd_single.endpoint])
    assert (etcd_single.endpoint,) == client.endpoints
    assert 2 == await client.put(b"key", b"v")


@pytest.mark.parametrize("kind", ["dead_endpoint", "silent_endpoint"])
async def test_a_write_that_never_found_a_server_is_unavailable_within_its_deadline(
    connect, request, kind
):
    client = connect([request.getfixturevalue(kind)], timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"failed to connect|DEADLINE"):
        await client.put(b"key", b"v")
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("kind", ["dead_endpoint", "silent_endpoint"])
async def test_reads_and_writes_go_on_at_the_next_endpoint(connect, request, etcd_single, kind):
    client = connect([request.getfixturevalue(kind), etcd_single.endpoint])
    revision = await client.put(b"key", b"v")
    began = time.monotonic()
    assert revision == (await client.get(b"key")).revision
    assert revision + 1 == await client.put(b"key", b"w", if_revision=revision)
    assert time.monotonic() - began < 0.5, "a suspect endpoint is not tried first again"


async def test_a_read_from_a_member_that_hangs_is_answered_by_another(connect, etcd_cluster):
    follower = (etcd_cluster.leader() + 1) % 3
    endpoints = etcd_cluster.endpoints
    client = connect([endpoints[follower], *endpoints], attempt_s=0.5)
    await client.put(b"key", b"v")
    etcd_cluster.pause(follower)
    assert b"v" == (await client.get(b"key")).value
    etcd_cluster.resume(follower)


async def test_a_write_to_a_member_that_hangs_is_unknown_and_the_next_goes_elsewhere(
    connect, etcd_cluster, eventually
):
    follower = (etcd_cluster.leader() + 1) % 3
    endpoints = etcd_cluster.endpoints
    client = connect([endpoints[follower], *endpoints], attempt_s=0.5)
    await client.put(b"key", b"v")
    member_id = (await client.ping()).member_id
    etcd_cluster.pause(follower)
    with pytest.raises(OutcomeUnknown):
        await client.put(b"key", b"w")
    began = time.monotonic()
    await client.put(b"key", b"x")
    assert time.monotonic() - began < 0.4

    etcd_cluster.resume(follower)

    async def preferred_again() -> bool:
        return (await client.ping()).member_id == member_id

    await eventually(preferred_again)


async def test_writes_are_unavailable_without_a_majority_and_work_again_with_one(
    connect, etcd_cluster, eventually
):
    client = connect(etcd_cluster.endpoints[:1], timeout_s=0.3)
    await client.put(b"key", b"v")
    etcd_cluster.kill(1)
    etcd_cluster.kill(2)

    async def refused() -> bool:
        try:
            await client.put(b"key", b"v")
        except Unavailable as error:
            return "no leader" in str(error)
        except OutcomeUnknown:
            return False
        return False

    await eventually(refused)
    etcd_cluster.restart(1)

    async def accepted() -> bool:
        try:
            await client.put(b"key", b"again")
        except (Unavailable, OutcomeUnknown):
            return False
        return True

    await eventually(accepted)


async def test_a_restarted_single_member_is_found_again_within_the_call(connect, etcd_single):
    client = connect([etcd_single.endpoint], timeout_s=15)
    revision = await client.put(b"key", b"v")
    etcd_single.kill()
    reading = asyncio.create_task(client.get(b"key"))
    etcd_single.restart()
    assert revision == (await reading).revision


@pytest.mark.slow
async def test_no_write_reported_unavailable_is_ever_found_applied_and_no_acknowledged_one_is_lost(
    connect, etcd_cluster
):
    outcomes: dict[bytes, str] = {}
    stop = asyncio.Event()

    async def write(worker: int) -> None:
        endpoints = etcd_cluster.endpoints
        preferred = worker % 3
        client = connect(endpoints[preferred:] + endpoints[:preferred], timeout_s=1, attempt_s=0.7)
        n = 0
        while not stop.is_set():
            n += 1
            key = b"w/%d/%d" % (worker, n)
            try:
                await client.put(key, b"v", if_revision=0 if n % 2 else None)
                outcomes[key] = "applied"
            except Unavailable:
                outcomes[key] = "not applied"
            except OutcomeUnknown:
                outcomes[key] = "unknown"

    async def hurt() -> None:
        for index in (etcd_cluster.leader(), 0, 1):
            await asyncio.sleep(0.4)
            etcd_cluster.kill(index)
            other = (index + 1) % 3
            await asyncio.sleep(0.4)
            etcd_cluster.pause(other)
            await asyncio.sleep(1.5)
            etcd_cluster.resume(other)
            etcd_cluster.restart(index)
            await asyncio.sleep(1.0)
            etcd_cluster.members[other].terminate()
            await asyncio.sleep(0.5)
            etcd_cluster.kill(other)
            etcd_cluster.restart(other)
        stop.set()

    async with asyncio.TaskGroup() as group:
        for worker in range(12):
            group.create_task(write(worker))
        group.create_task(hurt())

    for member in etcd_cluster.members:
        await asyncio.to_thread(member.wait_ready)
    reader = connect(etcd_cluster.endpoints, timeout_s=20)
    found = {entry.key for entry in (await reader.list(b"w/")).entries}
    counts = Counter(outcomes.values())
    assert set() == {key for key in found if outcomes[key] == "not applied"}
    assert set() == {key for key, outcome in outcomes.items() if outcome == "applied"} - found
    assert counts["applied"] > 100, f"too little load to prove anything: {counts}"
    assert counts["not applied"] > 5, f"too few faults met a write: {counts}"
    assert counts["unknown"] > 5, f"too few faults met a write: {counts}"


async def test_closing_the_client_ends_calls_with_an_outcome_not_with_a_cancellation(
    connect, etcd_single
):
    client = connect([etcd_single.endpoint])
    await client.put(b"key", b"v")
    etcd_single.pause()
    calls = [
        asyncio.create_task(client.put(b"key", b"w")),
        asyncio.create_task(client.get(b"key")),
    ]
    await asyncio.sleep(0)  # both calls are under way
    await client.aclose()
    write, read = await asyncio.gather(*calls, return_exceptions=True)
    assert OutcomeUnknown is type(write)
    assert Unavailable is type(read)
    with pytest.raises(Unavailable, match="closed"):
        await client.put(b"key", b"w")
    await client.aclose()


async def test_cancelling_the_caller_is_still_a_cancellation(connect, etcd_single):
    client = connect([etcd_single.endpoint])
    await client.put(b"key", b"v")
    etcd_single.pause()
    call = asyncio.create_task(client.put(b"key", b"w"))
    await asyncio.sleep(0)  # the call is under way
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.get(b"key")


async def test_a_call_under_way_at_an_endpoint_that_is_taken_away_may_end(connect, etcd_cluster):
    client = connect(etcd_cluster.endpoints[:1])
    await client.put(b"key", b"v")
    calls = [asyncio.create_task(client.put(b"k%d" % n, b"v")) for n in range(50)]
    await asyncio.sleep(0)
    client.set_endpoints(etcd_cluster.endpoints[1:])
    await asyncio.gather(*calls)
    assert 51 == len((await client.list(b"k")).entries)


async def test_nothing_new_begins_on_a_connection_that_is_being_closed(etcd_single):
    link = Link(etcd_single.endpoint, tls=None)
    await link.probe()
    closing = asyncio.create_task(link.close(grace_s=1))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed"):
        WatchStream(link)
    with pytest.raises(Unavailable, match="closed"):
        await link.probe()
    await closing
