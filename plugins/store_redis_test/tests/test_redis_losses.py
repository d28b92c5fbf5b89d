"""Redis comes back without some or all of what it had: that is noticed, and said, every time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from contextlib import aclosing

import pytest

from formal_cluster.errors import Compacted, Conflict, OutcomeUnknown, Unavailable
from formal_cluster.model import Capability

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]


async def restart(server, store, serving):
    server.kill()
    server.start()
    await serving(store)


async def read_on(watch):
    async for _ in watch:
        pass


async def test_a_restart_that_keeps_everything_is_the_same_store(redis_start, open_store, serving):
    server = redis_start.always()
    store = await open_store(server)
    revision = await store.put(b"k", b"v")
    before = store.status().cluster_id
    assert Capability.SURVIVES_RESTART in store.capabilities

    await restart(server, store, serving)

    assert before == store.status().cluster_id
    assert revision == (await store.get(b"k")).revision
    assert revision + 1 == await store.put(b"k", b"w", if_revision=revision)


@pytest.mark.parametrize("options", [("--appendonly", "yes"), ("--save", "")])
async def test_a_restart_that_may_have_lost_something_is_another_store(
    redis_start, open_store, serving, options
):
    server = redis_start(*options)
    store = await open_store(server)
    revision = await store.put(b"k", b"v")
    before = store.status().cluster_id
    assert Capability.SURVIVES_RESTART not in store.capabilities
    assert "appendfsync always" in " ".join(store.status().warnings)

    await restart(server, store, serving)

    assert store.status().cluster_id not in (None, before)
    assert revision < (await store.list(b"")).revision
    later = await store.put(b"other", b"w")
    if await store.get(b"k") is None:
        async with aclosing(store.watch(b"", from_revision=revision + 1)) as watch:
            with pytest.raises(Compacted) as raised:
                await anext(watch)
        assert raised.value.oldest == later
    else:  # kept, though it was not promised: then nothing is missing
        async with aclosing(store.watch(b"", from_revision=revision + 1)) as watch:
            assert [b"other"] == [event.key for event in (await anext(watch)).events]


async def test_what_is_left_of_the_history_can_be_read_in_the_new_life(
    redis_start, open_store, serving, eventually
):
    server = redis_start("--appendonly", "yes")
    store = await open_store(server)
    first = await store.put(b"k", b"1")
    with server.client() as client:  # so it is left: Redis may write up to two seconds late
        await eventually(lambda: client.info("persistence")["aof_buffer_length"] == 0)
    await restart(server, store, serving)
    await store.put(b"k", b"2")

    async with aclosing(store.watch(b"", from_revision=1)) as watch:
        assert [b"1", b"2"] == [event.value for event in (await anext(watch)).events]
    async with aclosing(store.watch(b"", from_revision=first + 2)) as watch:
        with pytest.raises(Compacted):
            await anext(watch)


async def test_a_watch_that_was_open_when_redis_lost_something_is_told(
    redis_start, open_store, serving
):
    server = redis_start.forgetful()
    store = await open_store(server)
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        await restart(server, store, serving)
        with pytest.raises(Compacted):
            await read_on(watch)


async def test_revisions_are_not_given_twice_when_redis_comes_back_empty(
    redis_start, open_store, serving
):
    server = redis_start.always()
    store = await open_store(server)
    revision = await store.put(b"k", b"v")
    server.kill()
    server.wipe()
    server.start()
    await serving(store)

    assert await store.get(b"k") is None
    with pytest.raises(Conflict):
        await store.put(b"k", b"w", if_revision=revision)
    assert revision < await store.put(b"k", b"w")


async def test_an_older_copy_is_another_store_for_whoever_saw_the_newer_one(
    redis_start, open_store, serving, tmp_path
):
    server = redis_start.always()
    store = await open_store(server)
    await store.put(b"k", b"1")
    server.kill()
    shutil.copytree(server.directory, tmp_path / "copy")
    server.start()
    await serving(store)
    newer = await store.put(b"k", b"2")
    before = store.status().cluster_id

    server.kill()
    server.wipe()
    shutil.copytree(tmp_path / "copy", server.directory, dirs_exist_ok=True)
    server.start()
    await serving(store)

    assert before != store.status().cluster_id
    assert b"1" == (await store.get(b"k")).value
    assert newer < await store.put(b"k", b"3")


async def test_a_store_that_is_flushed_while_it_serves_is_another_one(
    redis_start, open_store, serving, eventually
):
    server = redis_start()
    store = await open_store(server)
    revision = await store.put(b"k", b"v")
    before = store.status().cluster_id
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        with server.client() as client:
            client.flushall()

        await eventually(lambda: store.status().cluster_id != before)
        with pytest.raises(Compacted):
            await read_on(watch)
    await serving(store)
    assert await store.get(b"k") is None
    assert revision < await store.put(b"k", b"w")


async def test_a_write_made_for_the_lost_store_does_not_reach_the_new_one(redis_start, open_store):
    server = redis_start.forgetful()
    store = await open_store(server)
    await store.put(b"k", b"v")
    before = store.status().cluster_id
    server.kill()
    server.start()

    async with asyncio.timeout(50):
        while (known := store.status().cluster_id) == before:
            with contextlib.suppress(Unavailable, OutcomeUnknown):
                await store.put(b"k", b"w")
                assert before != known, "written by one who could not know of the loss"
    assert await store.get(b"k") is None


async def test_all_clients_agree_on_the_life_of_the_store(redis_start, open_store, serving):
    server = redis_start.forgetful()
    stores = [await open_store(server, key_prefix="shared:") for _ in range(3)]
    for store in stores:
        await store.put(b"k", b"v")

    server.kill()
    server.start()
    for store in stores:
        await serving(store)

    assert len({store.status().cluster_id for store in stores}) == 1


async def test_with_a_replica_nothing_is_promised_that_a_failover_would_break(
    redis_start, open_store, eventually
):
    server, replica = redis_start.always(), redis_start.always()
    store = await open_store(server, key_prefix="shared:")
    await store.put(b"k", b"v")
    before = store.status().cluster_id
    with replica.client() as client:
        client.replicaof(server.host, server.port)
    never = {
        Capability.LINEARIZABLE_READS,
        Capability.LINEARIZABLE_WRITES,
        Capability.SURVIVES_RESTART,
        Capability.SURVIVES_MINORITY_LOSS,
    }
    await eventually(lambda: not never & store.capabilities)
    assert "begin a new life" in " ".join(store.status().warnings)
    with replica.client() as client:
        await eventually(lambda: client.info()["master_link_status"] == "up")
        server.kill()
        client.execute_command("REPLICAOF", "NO", "ONE")

    promoted = await open_store(replica, key_prefix="shared:")

    await eventually(lambda: promoted.status().cluster_id)
    assert before != promoted.status().cluster_id
    assert b"v" == (await promoted.get(b"k")).value


async def test_a_promise_that_redis_stops_keeping_is_taken_back(
    redis_start, open_store, serving, eventually
):
    server = redis_start.always()
    store = await open_store(server)
    await store.put(b"k", b"v")
    before = store.status().cluster_id
    with server.client() as client:
        client.config_set("appendfsync", "everysec")

    await eventually(lambda: Capability.SURVIVES_RESTART not in store.capabilities)
    await restart(server, store, serving)

    assert before != store.status().cluster_id
