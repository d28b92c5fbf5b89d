"""Calls while Redis dies, hangs, refuses and comes back: what is reported must be true."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from contextlib import aclosing, suppress
from functools import partial

import pytest

from formal_cluster.errors import NotWritable, OutcomeUnknown, Unavailable
from formal_cluster.model import StoreState
from formal_cluster_store_redis_test.layout import Layout

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]


class Refusing:
    """An address that refuses connections."""

    def __init__(self, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def refusing():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Refusing(bound.getsockname()[1])


async def eventually_state(eventually, store, state):
    await eventually(lambda: store.status().state is state)
    return store.status().last_error


# ── not there ────────────────────────────────────────────────────────────────────────────────


async def test_a_write_that_never_found_a_server_is_certainly_not_applied(refusing, open_store):
    store = await open_store(refusing)

    with pytest.raises(Unavailable, match=r"Redis at 127\.0\.0\.1"):
        await store.put(b"k", b"v")
    with pytest.raises(Unavailable, match=r"Redis at 127\.0\.0\.1"):
        await store.list(b"")

    assert StoreState.STARTING is store.status().state
    assert store.status().last_error is not None
    assert store.status().stale_ms is None


async def test_before_its_start_a_store_refuses_calls(redis_shared, build_store):
    with pytest.raises(Unavailable, match="was not started"):
        await build_store(redis_shared).put(b"k", b"v")


async def test_a_store_that_is_started_first_serves_when_redis_comes(redis_start, open_store):
    server = redis_start()
    server.kill()
    store = await open_store(server)
    with pytest.raises(Unavailable):
        await store.get(b"k")
    async with aclosing(store.watch(b"")) as watch:
        waiting = asyncio.ensure_future(anext(watch))

        server.start()

        assert () == (await waiting).events
    assert await store.put(b"k", b"v")


async def test_it_does_not_try_to_connect_at_every_call(open_store):
    tries = 0

    def hang_up(_reader, writer):
        nonlocal tries
        tries += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        store = await open_store(Refusing(server.sockets[0].getsockname()[1]))
        for _ in range(2_000):
            with pytest.raises(Unavailable):
                await store.get(b"k")
            await asyncio.sleep(0)
        assert 0 < tries < 200
        await store.stop()


# ── dies and hangs ───────────────────────────────────────────────────────────────────────────


async def test_of_writes_under_way_when_redis_dies_none_is_reported_wrongly(
    redis_start, open_store, serving
):
    server = redis_start.always()
    store = await open_store(server)
    outcomes = {}

    async def write(number):
        try:
            await store.put(b"%d" % number, b"v")
        except (Unavailable, OutcomeUnknown) as error:
            outcomes[number] = type(error)
        else:
            outcomes[number] = None

    async def write_many():
        for start in range(0, 400, 8):
            await asyncio.gather(*(write(number) for number in range(start, start + 8)))

    writing = asyncio.ensure_future(write_many())
    while len(outcomes) < 40:
        await asyncio.sleep(0)
    server.kill()
    await writing
    server.start()
    await serving(store)

    present = {int(entry.key) for entry in (await store.list(b"")).entries}
    acknowledged = {number for number, outcome in outcomes.items() if outcome is None}
    refused = {number for number, outcome in outcomes.items() if outcome is Unavailable}
    assert len(acknowledged) >= 40
    assert refused
    assert acknowledged <= present
    assert not refused & present


async def is_put(store):
    with suppress(Unavailable, OutcomeUnknown):
        return await store.put(b"k", b"v")


async def test_a_write_to_a_server_that_hangs_is_unknown_and_a_read_unavailable(
    redis_start, open_store, serving, eventually
):
    server = redis_start()
    store = await open_store(server, timeout_s=2)
    await eventually(partial(is_put, store))
    server.pause()

    with pytest.raises(OutcomeUnknown, match="no answer for"):
        await store.put(b"k", b"w")
    with pytest.raises(Unavailable, match="no answer"):
        await store.get(b"k")
    await eventually_state(eventually, store, StoreState.NO_QUORUM)
    assert store.status().stale_ms >= 2_000

    server.resume()
    await serving(store)
    assert await store.get(b"k") is not None


async def test_a_watch_goes_on_where_it_was_when_redis_was_away(redis_start, open_store, serving):
    server = redis_start.always()
    store = await open_store(server)
    first = await store.put(b"k", b"1")
    async with aclosing(store.watch(b"", from_revision=first)) as watch:
        assert [first] == [event.revision for event in (await anext(watch)).events]
        server.kill()
        server.start()
        await serving(store)
        second = await store.put(b"k", b"2")
        revisions = []
        while second not in revisions:
            revisions += [event.revision for event in (await anext(watch)).events]
    assert [first + 1] == [second] == revisions


async def test_a_cancelled_call_leaves_the_others_undisturbed(redis_shared, open_store):
    store = await open_store(redis_shared, connections=2)
    await store.put(b"k", b"v" * 1_000)
    for turn in range(60):
        calls = [asyncio.ensure_future(store.get(b"k")) for _ in range(2)]
        calls += [asyncio.ensure_future(store.put(b"other", b"%d" % turn)) for _ in range(2)]
        for _ in range(turn):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        for call in calls:
            with suppress(asyncio.CancelledError):
                await call

        assert b"v" * 1_000 == (await store.get(b"k")).value


async def test_more_calls_than_connections_wait_for_their_turn(redis_shared, open_store):
    store = await open_store(redis_shared, connections=2)
    revisions = await asyncio.gather(*(store.put(b"k", b"%d" % n) for n in range(100)))
    assert len(set(revisions)) == 100


async def test_a_script_cache_that_was_flushed_goes_unnoticed(redis_start, open_store):
    server = redis_start()
    store = await open_store(server)
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        with server.client() as client:
            client.script_flush()
        revision = await store.put(b"k", b"v")
        events = []
        while not events:
            events += (await anext(watch)).events
    assert [revision] == [event.revision for event in events]


# ── refuses ──────────────────────────────────────────────────────────────────────────────────


async def test_a_full_memory_is_not_writable_and_what_is_deleted_makes_room(
    redis_start, open_store, serving, eventually
):
    server = redis_start()
    store = await open_store(server, history_changes=1)
    for number in range(10):
        await store.put(b"%d" % number, b"v" * (1 << 20))
    with server.client() as client:
        client.config_set("maxmemory", "5mb")

    with pytest.raises(NotWritable, match=r"OOM.*raise maxmemory"):
        await store.put(b"k", b"v")
    assert "raise maxmemory" in await eventually_state(eventually, store, StoreState.READ_ONLY)
    assert b"v" * (1 << 20) == (await store.get(b"9")).value
    for entry in (await store.list(b"")).entries:
        await store.delete(entry.key)
    await serving(store)
    assert await store.put(b"k", b"v")


async def test_a_disk_that_cannot_be_written_to_is_not_writable_until_it_is_mended(
    redis_start, open_store, serving, eventually
):
    server = redis_start("--save", "3600 1")
    store = await open_store(server)
    await store.put(b"k", b"v")
    (server.directory / "dump.rdb").mkdir()
    with server.client() as client:
        client.bgsave()
        await eventually(lambda: client.info()["rdb_last_bgsave_status"] == "err")

        with pytest.raises(NotWritable, match=r"MISCONF.*its disk"):
            await store.put(b"k", b"w")
        assert "its disk" in await eventually_state(eventually, store, StoreState.READ_ONLY)
        assert b"v" == (await store.get(b"k")).value

        (server.directory / "dump.rdb").rmdir()
        client.bgsave()
    await serving(store)
    assert await store.put(b"k", b"w")


async def test_a_server_that_becomes_a_replica_is_not_writable_and_then_refused(
    redis_start, open_store, eventually
):
    leader, server = redis_start(), redis_start()
    store = await open_store(server)
    await store.put(b"k", b"v")
    with server.client() as client:
        client.replicaof(leader.host, leader.port)

    with pytest.raises((NotWritable, Unavailable)) as raised:
        await store.put(b"k", b"w")
    assert not isinstance(raised.value, OutcomeUnknown)
    error = await eventually_state(eventually, store, StoreState.FAILED)
    assert "it is a replica: point store.redis-test.url to the server it follows" in error
    with pytest.raises(NotWritable, match="a replica: point"):
        await store.put(b"k", b"w")
    with pytest.raises(Unavailable, match="it is a replica"):
        await store.get(b"k")


@pytest.mark.parametrize(
    ("options", "table", "advice"),
    [
        (["--requirepass", "secret"], {}, "NOAUTH.*set store.redis-test.password"),
        (
            ["--requirepass", "secret"],
            {"password": "wrong"},
            "WRONGPASS.*correct store.redis-test.password",
        ),
        (["--maxmemory-policy", "allkeys-lru"], {}, "set it to noeviction"),
    ],
)
async def test_a_server_that_will_not_do_says_what_to_do_and_is_not_writable(
    redis_start, open_store, eventually, options, table, advice
):
    store = await open_store(redis_start(*options), **table)

    error = await eventually_state(eventually, store, StoreState.FAILED)
    with pytest.raises(NotWritable, match=advice):
        await store.put(b"k", b"v")
    with pytest.raises(Unavailable, match=advice):
        await store.get(b"k")
    assert "secret" not in error


async def test_user_and_password_open_the_door(redis_start, open_store, serving):
    server = redis_start()
    with server.client() as client:
        client.acl_setuser(
            "alice",
            enabled=True,
            passwords=["+secret"],
            keys=["mine:*"],
            commands=["+@all", "-config"],
        )
    named = Refusing(0)
    named.url = server.url.replace("redis://", "redis://alice@").replace("/0", "/5")

    store = await open_store(named, password="secret", key_prefix="mine:")

    await serving(store)
    assert await store.put(b"k", b"v")
    assert "config|get" in " ".join(store.status().warnings)
    with server.client() as client:
        client.select(5)
        assert client.exists(Layout("mine:").meta)


async def test_stores_with_different_prefixes_do_not_see_each_other(redis_shared, open_store):
    one, other = await open_store(redis_shared), await open_store(redis_shared)
    await one.put(b"k", b"v")
    assert await other.get(b"k") is None


async def test_stopping_frees_every_connection(redis_start, open_store, eventually):
    server = redis_start()
    store = await open_store(server)
    watch = store.watch(b"")
    await anext(watch)
    await asyncio.gather(*(store.get(b"k") for _ in range(20)))

    await store.stop()

    with pytest.raises(Unavailable):
        await anext(watch)
    with server.client() as client:
        await eventually(lambda: len(client.client_list()) == 1)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificates(tmp_path):
    """A self-signed certificate for any loopback address the server may take."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"

    def issue(host):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=redis"),
                *("-addext", f"subjectAltName=IP:{host}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        return key, certificate

    return issue


async def test_tls_is_spoken_to_a_server_that_proves_who_it_is_and_to_no_other(
    redis_make, certificates, open_store, serving
):
    server = redis_make()
    key, certificate = certificates(server.host)
    server.options = (
        *("--tls-port", str(server.port), "--port", "0", "--tls-auth-clients", "no"),
        *("--tls-key-file", str(key), "--tls-cert-file", str(certificate)),
        *("--tls-ca-cert-file", str(certificate)),
    )
    server.tls_ca = certificate
    server.start()

    trusting = await open_store(server, tls={"ca": str(certificate)})
    await serving(trusting)
    assert await trusting.put(b"k", b"v")

    wary = await open_store(server)
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await wary.get(b"k")
