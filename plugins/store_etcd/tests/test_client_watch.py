"""The resuming watch on a real etcd, in good times and bad."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from itertools import pairwise

import grpc
import pytest
from aetcd.rpc import WatchResponse
from aetcd.rpc.rpc_pb2_grpc import (
    KVServicer,
    WatchServicer,
    add_KVServicer_to_server,
    add_WatchServicer_to_server,
)

from formal_cluster.errors import Compacted, OutcomeUnknown, Unavailable
from formal_cluster.model import Event, EventKind, WatchUpdate
from formal_cluster_store_etcd.client.endpoints import Link
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.watch_cursor import StoreReplaced
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


@pytest.fixture
async def connect():
    clients: list[EtcdClient] = []

    def connect(endpoints, timeout_s=60, attempt_s=30, **options) -> EtcdClient:
        clients.append(EtcdClient(endpoints, timeout_s=timeout_s, attempt_s=attempt_s, **options))
        return clients[-1]

    yield connect
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(connect, etcd_single):
    return connect([etcd_single.endpoint])


async def next_events(updates) -> WatchUpdate:
    """The next update that has events."""
    async for update in updates:
        if update.events:
            return update
    raise AssertionError("the watch ended")


async def put_until_acknowledged(client: EtcdClient, key: bytes) -> int:
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable, OutcomeUnknown):
                return await client.put(key, b"")


async def test_a_watch_from_now_says_at_once_where_it_begins_and_misses_nothing_after(client):
    before = await client.put(b"a/1", b"before")
    async with aclosing(client.watch(b"a/")) as updates:
        assert WatchUpdate((), before) == await anext(updates)
        revision = await client.put(b"a/1", b"after")
        expected = WatchUpdate((Event(EventKind.PUT, b"a/1", b"after", revision),), revision)
        assert expected == await next_events(updates)


async def test_history_is_replayed_from_the_revision_asked_for(client):
    revisions = [await client.put(b"a/key", b"%d" % n) for n in range(5)]
    deleted = await client.delete(b"a/key")
    seen = []
    async with aclosing(client.watch(b"a/", from_revision=revisions[2])) as updates:
        while len(seen) < 4:
            seen += (await next_events(updates)).events
    assert [(EventKind.PUT, r) for r in revisions[2:]] + [(EventKind.DELETE, deleted)] == [
        (event.kind, event.revision) for event in seen
    ]
    assert b"" == seen[-1].value


async def test_a_watch_from_a_revision_to_come_is_silent_until_then(client):
    now = await client.put(b"a/key", b"")
    async with aclosing(client.watch(b"a/", from_revision=now + 3)) as updates:
        waiting = asyncio.create_task(next_events(updates))
        revisions = [await client.put(b"a/key", b"") for _ in range(3)]
        assert revisions[-1:] == [event.revision for event in (await waiting).events]


@pytest.mark.parametrize(("prefix", "expected"), [(b"", 3), (b"a", 2), (b"a\xff", 1)])
async def test_only_the_keys_of_the_prefix_are_seen(client, prefix, expected):
    for key in (b"a", b"a\xff", b"b"):
        await client.put(key, b"")
    last = await client.put(prefix + b"\xff\xff", b"")
    seen = []
    async with aclosing(client.watch(prefix, from_revision=1)) as updates:
        while not seen or seen[-1].revision < last:
            seen += (await next_events(updates)).events
    assert expected == len(seen) - 1
    assert all(event.key.startswith(prefix) for event in seen)


async def test_all_changes_of_one_revision_come_in_one_update(client, etcd_single):
    async with aclosing(client.watch(b"t/")) as updates:
        await anext(updates)
        puts = [{"requestPut": {"key": f"dC8{c}", "value": "eA=="}} for c in "abcdefghijkl"]
        etcd_single.ask("kv/txn", success=puts)
        update = await next_events(updates)
    assert 12 == len(update.events)
    assert {update.revision} == {event.revision for event in update.events}


async def test_a_watch_that_catches_up_takes_more_than_grpc_would_by_default(client):
    value = bytes(1_000_000)
    for n in range(8):
        await client.put(b"big/%d" % n, value)
    seen = []
    async with aclosing(client.watch(b"big/", from_revision=1)) as updates:
        while len(seen) < 8:
            seen += (await next_events(updates)).events
    assert [b"big/%d" % n for n in range(8)] == [event.key for event in seen]


async def test_a_quiet_watch_yields_empty_updates_that_never_promise_too_much(client):
    revision = await client.put(b"other", b"")
    async with aclosing(client.watch(b"a/")) as updates:
        updates_seen = [await anext(updates) for _ in range(3)]
    assert [WatchUpdate((), revision)] * 3 == updates_seen


async def test_periodic_notifications_of_etcd_carry_the_watch_past_others_revisions(
    connect, etcd_start
):
    etcd = etcd_start("notify", "--experimental-watch-progress-notify-interval", "200ms")
    client = connect([etcd.endpoint])
    async with aclosing(client.watch(b"a/")) as updates:
        await anext(updates)
        revision = await client.put(b"other", b"")
        async for update in updates:
            assert () == update.events
            if update.revision == revision:
                break


async def test_compacted_history_is_refused_with_the_first_revision_that_is_whole(
    client, etcd_single
):
    for n in range(4):
        await client.put(b"a/key", b"%d" % n)
    deleted = await client.delete(b"a/key")
    last = await client.put(b"a/key", b"again")
    etcd_single.compact(deleted)

    for wanted in (1, deleted - 1, deleted):
        with pytest.raises(Compacted) as caught:
            await anext(client.watch(b"a/", from_revision=wanted))
        assert deleted + 1 == caught.value.oldest

    async with aclosing(client.watch(b"a/", from_revision=deleted + 1)) as updates:
        assert last == (await next_events(updates)).revision


async def test_a_watch_goes_on_at_another_member_when_its_own_is_killed(connect, etcd_cluster):
    follower = (etcd_cluster.leader() + 1) % 3
    endpoints = etcd_cluster.endpoints
    watcher = connect([endpoints[follower], *endpoints])
    writer = connect([e for e in endpoints if e != endpoints[follower]])
    async with aclosing(watcher.watch(b"a/")) as updates:
        await anext(updates)
        first = await writer.put(b"a/key", b"1")
        assert first == (await next_events(updates)).revision
        etcd_cluster.kill(follower)
        missed = await writer.put(b"a/key", b"2")
        update = await next_events(updates)
    assert [missed] == [event.revision for event in update.events]


async def test_a_member_that_hangs_is_left(connect, calm_cluster, eventually, caplog):
    """Within a few seconds: how many is the one thing that `WatchStream` decides by."""
    caplog.set_level("INFO", logger="formal_cluster_store_etcd.client.watch")
    follower = (calm_cluster.leader() + 1) % 3
    endpoints = calm_cluster.endpoints
    watcher = connect([endpoints[follower], *endpoints])
    writer = connect([e for e in endpoints if e != endpoints[follower]])
    async with aclosing(watcher.watch(b"a/")) as updates:
        await anext(updates)
        calm_cluster.pause(follower)
        revision = await writer.put(b"a/key", b"1")
        assert revision == (await next_events(updates)).revision
        assert str(endpoints[follower]) in {record.endpoint for record in caplog.records}
        calm_cluster.resume(follower)


class MuteEtcd(KVServicer, WatchServicer):
    """Passes reads on to a real member, confirms a watch, and then never says anything on it."""

    def __init__(self, real: Endpoint) -> None:
        self._link = Link(real, tls=None)

    async def Range(self, request, context):  # noqa: N802 - the protocol's name
        return await self._link.kv.Range(request)

    async def Watch(self, requests, context):  # noqa: N802 - the protocol's name
        yield WatchResponse(created=True)
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        await self._link.close()


async def test_a_stream_that_is_connected_and_silent_is_left(connect, etcd_single):
    server = grpc.aio.server()
    async with aclosing(MuteEtcd(etcd_single.endpoint)) as mute:
        add_KVServicer_to_server(mute, server)
        add_WatchServicer_to_server(mute, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        watcher = connect([Endpoint("127.0.0.1", port), etcd_single.endpoint])
        async with aclosing(watcher.watch(b"a/")) as updates:
            await anext(updates)
            revision = await connect([etcd_single.endpoint]).put(b"a/key", b"1")
            assert revision == (await next_events(updates)).revision
        await server.stop(None)


async def test_a_member_that_lost_its_leader_is_left_and_the_watch_waits_for_a_quorum(
    connect, etcd_cluster, eventually, caplog
):
    caplog.set_level("INFO", logger="formal_cluster_store_etcd.client.watch")
    watcher = connect(etcd_cluster.endpoints[:1])
    async with aclosing(watcher.watch(b"a/")) as updates:
        await anext(updates)
        etcd_cluster.pause(1)
        etcd_cluster.pause(2)
        waiting = asyncio.create_task(next_events(updates))
        await eventually(lambda: any("no leader" in record.reason for record in caplog.records))
        assert not waiting.done()
        etcd_cluster.resume(1)
        etcd_cluster.resume(2)
        await put_until_acknowledged(connect(etcd_cluster.endpoints), b"a/key")
        assert {b"a/key"} == {event.key for event in (await waiting).events}


async def test_what_was_compacted_while_disconnected_is_not_skipped(connect, etcd_cluster):
    follower = (etcd_cluster.leader() + 1) % 3
    endpoints = etcd_cluster.endpoints
    others = [e for e in endpoints if e != endpoints[follower]]
    watcher = connect(endpoints[follower : follower + 1])
    writer = connect(others)
    async with aclosing(watcher.watch(b"a/")) as updates:
        await anext(updates)
        await writer.put(b"a/key", b"1")
        await next_events(updates)
        etcd_cluster.kill(follower)
        await writer.put(b"a/key", b"2")
        deleted = await writer.delete(b"a/key")
        await writer.put(b"a/other", b"3")
        etcd_cluster.members[(follower + 1) % 3].compact(deleted)
        etcd_cluster.restart(follower)
        with pytest.raises(Compacted) as caught:
            await next_events(updates)
    assert deleted + 1 == caught.value.oldest


@pytest.mark.parametrize("same_token", [True, False], ids=["same id", "another id"])
async def test_a_store_that_began_anew_is_told_apart(client, etcd_single, same_token):
    for n in range(5):
        await client.put(b"a/key", b"%d" % n)
    async with aclosing(client.watch(b"a/")) as updates:
        await anext(updates)
        etcd_single.kill()
        etcd_single.wipe()
        if not same_token:
            etcd_single.token = "another"
        etcd_single.restart()
        with pytest.raises(StoreReplaced, match="list again"):
            await next_events(updates)


async def test_a_watch_waits_for_endpoints_and_for_a_store_that_is_away(
    connect, etcd_single, eventually, caplog
):
    caplog.set_level("DEBUG", logger="formal_cluster_store_etcd.client.watch")
    client = connect([])
    async with aclosing(client.watch(b"a/")) as updates:
        first = asyncio.create_task(anext(updates))
        await asyncio.sleep(0)
        etcd_single.kill()
        client.set_endpoints([etcd_single.endpoint])
        await eventually(lambda: len(caplog.records) > 2)
        assert not first.done()
        etcd_single.restart()
        assert () == (await first).events


async def test_a_watch_moves_on_from_an_endpoint_that_is_taken_away(connect, etcd_cluster):
    endpoints = etcd_cluster.endpoints
    client = connect(endpoints[:1])
    async with aclosing(client.watch(b"a/")) as updates:
        await anext(updates)
        client.set_endpoints(endpoints[1:])
        waiting = asyncio.create_task(next_events(updates))
        revision = await client.put(b"a/key", b"")
        assert revision == (await waiting).revision
        etcd_cluster.kill(0)
        waiting = asyncio.create_task(next_events(updates))
        await put_until_acknowledged(client, b"a/other")
        assert b"a/other" == (await waiting).events[-1].key


async def test_a_consumer_that_pauses_gets_everything_afterwards(client):
    async with aclosing(client.watch(b"a/")) as updates:
        await anext(updates)
        revisions = [await client.put(b"a/key", bytes(10_000)) for _ in range(300)]
        await asyncio.sleep(3.5)  # longer than a silent stream is endured
        seen = []
        while len(seen) < 300:
            seen += [event.revision for event in (await next_events(updates)).events]
    assert revisions == seen


async def test_closing_the_client_ends_its_watches_and_leaves_no_task_behind(
    connect, etcd_single, eventually
):
    before = asyncio.all_tasks()
    client = connect([etcd_single.endpoint])
    updates = client.watch(b"a/")
    await anext(updates)
    waiting = asyncio.create_task(next_events(updates))
    await asyncio.sleep(0)
    await client.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await waiting
    await eventually(lambda: before == asyncio.all_tasks())


async def test_leaving_a_watch_leaves_no_task_behind(client, eventually):
    before = asyncio.all_tasks()
    async with aclosing(client.watch(b"a/")) as updates:
        await anext(updates)
    await eventually(lambda: before == asyncio.all_tasks())


async def test_cancelling_a_consumer_is_a_cancellation_also_while_the_store_is_away(
    client, etcd_single, eventually, caplog
):
    caplog.set_level("DEBUG", logger="formal_cluster_store_etcd.client.watch")
    etcd_single.kill()
    waiting = asyncio.create_task(next_events(client.watch(b"a/")))
    await eventually(lambda: caplog.records)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.slow
async def test_under_kills_hangs_and_restarts_every_change_is_seen_once_in_order(
    connect, etcd_cluster
):
    """One writer owns each key, so the value sequence of a key is its own history."""
    acknowledged: dict[int, bytes] = {}
    stop = asyncio.Event()
    writer = connect(etcd_cluster.endpoints, timeout_s=1, attempt_s=0.7)
    watchers = [connect(etcd_cluster.endpoints[n:] + etcd_cluster.endpoints[:n]) for n in range(3)]
    seen: list[list[WatchUpdate]] = [[] for _ in watchers]

    async def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            value = b"%d" % n
            with suppress(Unavailable, OutcomeUnknown):
                acknowledged[await writer.put(b"c/%d" % (n % 5), value)] = value

    async def hurt() -> None:
        for index in (etcd_cluster.leader(), 0, 1):
            await asyncio.sleep(0.5)
            etcd_cluster.kill(index)
            await asyncio.sleep(1.0)
            etcd_cluster.restart(index)
            await asyncio.to_thread(etcd_cluster.members[index].wait_ready)
            etcd_cluster.pause((index + 1) % 3)
            await asyncio.sleep(2.0)
            etcd_cluster.resume((index + 1) % 3)
        while len(acknowledged) <= 300:  # too little load to prove anything
            await asyncio.sleep(0.05)
        stop.set()

    async def follow(number: int, last: asyncio.Future[int]) -> None:
        async with aclosing(watchers[number].watch(b"c/", from_revision=1)) as updates:
            async for update in updates:
                seen[number].append(update)
                if last.done() and update.revision >= last.result():
                    return

    last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        for number in range(len(watchers)):
            group.create_task(follow(number, last))
        writing = group.create_task(write())
        await hurt()
        await writing
        closer = connect(etcd_cluster.endpoints)
        last.set_result(await put_until_acknowledged(closer, b"c/end"))

    histories = [[event for update in updates for event in update.events] for updates in seen]
    for updates, history in zip(seen, histories, strict=True):
        assert all(a.revision < b.revision for a, b in pairwise(history))
        assert all(a.revision <= b.revision for a, b in pairwise(updates))
        assert acknowledged.items() <= {event.revision: event.value for event in history}.items()
    assert histories[0] == histories[1] == histories[2]
