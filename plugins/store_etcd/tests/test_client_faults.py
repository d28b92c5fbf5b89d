"""Calls while members die, hang and come back: what is reported about a write must be true."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter

import pytest

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster_store_etcd.client import endpoints
from formal_cluster_store_etcd.client.endpoints import Link
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.watch_stream import WatchStream
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


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
    # It goes on trying for as long as it may: without the deadline this would not end.
    with pytest.raises(Unavailable, match=r"failed to connect|DEADLINE"):
        await client.put(b"key", b"v")


def order(client: EtcdClient) -> list[Endpoint]:
    """In which order it tries its endpoints at present."""
    return [link.endpoint for link in client._links.in_order()]


@pytest.mark.parametrize("kind", ["dead_endpoint", "silent_endpoint"])
async def test_reads_and_writes_go_on_at_the_next_endpoint(connect, request, etcd_single, kind):
    suspect = request.getfixturevalue(kind)
    client = connect([suspect, etcd_single.endpoint], timeout_s=20)
    revision = await client.put(b"key", b"v")
    assert [etcd_single.endpoint, suspect] == order(client), "it is not tried first again"
    assert revision == (await client.get(b"key")).revision
    assert revision + 1 == await client.put(b"key", b"w", if_revision=revision)


async def test_a_read_from_a_member_that_hangs_is_answered_by_another(connect, calm_cluster):
    follower = (calm_cluster.leader() + 1) % 3
    endpoints = calm_cluster.endpoints
    client = connect([endpoints[follower], *endpoints], timeout_s=30)
    await client.put(b"key", b"v")
    assert endpoints[follower] == order(client)[0]
    calm_cluster.pause(follower)
    assert b"v" == (await client.get(b"key")).value
    calm_cluster.resume(follower)


async def test_a_write_to_a_member_that_hangs_is_unknown_and_the_next_goes_elsewhere(
    connect, calm_cluster, eventually
):
    follower = (calm_cluster.leader() + 1) % 3
    endpoints = calm_cluster.endpoints
    client = connect([endpoints[follower], *endpoints])
    await client.put(b"key", b"v")
    member_id = (await client.ping()).member_id
    assert endpoints[follower] == order(client)[0]
    calm_cluster.pause(follower)
    with pytest.raises(OutcomeUnknown):
        await client.put(b"key", b"w")
    assert endpoints[follower] == order(client)[-1], "it is not asked first again"
    await client.put(b"key", b"x")

    calm_cluster.resume(follower)

    async def preferred_again() -> bool:
        return (await client.ping()).member_id == member_id

    await eventually(preferred_again)


async def test_writes_are_unavailable_without_a_majority_and_work_again_with_one(
    connect, etcd_cluster, eventually
):
    client = connect(etcd_cluster.endpoints[:1], timeout_s=2)

    async def accepted() -> bool:
        try:
            await client.put(b"key", b"again")
        except (Unavailable, OutcomeUnknown):
            return False
        return True

    await eventually(accepted)
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
    await eventually(accepted)


async def test_a_restarted_single_member_is_found_again_within_the_call(connect, etcd_single):
    client = connect([etcd_single.endpoint], timeout_s=60)
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

    def enough() -> bool:
        counts = Counter(outcomes.values())
        return counts["applied"] > 100 and min(counts["not applied"], counts["unknown"]) > 5

    async def hurt() -> None:
        for index in itertools.chain((etcd_cluster.leader(), 0, 1), itertools.cycle(range(3))):
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
            if index == 1 and enough():
                break
        stop.set()

    async with asyncio.TaskGroup() as group:
        for worker in range(12):
            group.create_task(write(worker))
        group.create_task(hurt())

    for member in etcd_cluster.members:
        await asyncio.to_thread(member.wait_ready)
    reader = connect(etcd_cluster.endpoints, timeout_s=60, attempt_s=20)
    found = {entry.key for entry in (await reader.list(b"w/")).entries}
    assert set() == {key for key in found if outcomes[key] == "not applied"}
    assert set() == {key for key, outcome in outcomes.items() if outcome == "applied"} - found


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


async def test_a_call_under_way_at_an_endpoint_that_is_taken_away_may_end(
    connect, calm_cluster, monkeypatch
):
    monkeypatch.setattr(endpoints, "_DRAIN_S", 30.0)
    client = connect(calm_cluster.endpoints[:1], timeout_s=60, attempt_s=30)
    await client.put(b"key", b"v")
    calls = [asyncio.create_task(client.put(b"k%d" % n, b"v")) for n in range(50)]
    await asyncio.sleep(0)
    client.set_endpoints(calm_cluster.endpoints[1:])
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
