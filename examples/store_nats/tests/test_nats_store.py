"""What the conformance suite cannot know of: JetStream's own limits, and what others do to it."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest
from nats.aio.client import Client

from formal_cluster.errors import Compacted, OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import Capability, StoreState
from formal_cluster_store_nats.settings import NatsSettings

WITHIN_S = 30.0


async def eventually(condition) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.02)


async def serving(store) -> None:
    await eventually(lambda: store.status().state is StoreState.SERVING)


async def read_on(watch) -> None:
    async with asyncio.timeout(WITHIN_S):
        async for _ in watch:
            pass


async def watch_again_and_again(store, revision: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with aclosing(store.watch(b"", from_revision=revision)) as watch:
                await anext(watch)
            await asyncio.sleep(0.05)


@pytest.fixture
async def jetstream(server):
    client = Client()
    await client.connect([f"nats://{server.address}"])
    yield client.jetstream()
    await client.close()


async def test_a_stream_that_would_lose_data_is_refused_with_the_mend(a_store, jetstream):
    await jetstream.add_stream(name="test", subjects=["test.>"], max_msgs_per_subject=1)
    store = await a_store()
    await eventually(lambda: store.status().state is StoreState.FAILED)
    assert "edit the stream" in (store.status().last_error or "")
    with pytest.raises(Unavailable, match="edit the stream"):
        await store.get(b"k")


async def test_a_stream_with_messages_of_others_is_refused(a_store, jetstream):
    store = await a_store()
    await serving(store)
    await jetstream.publish("test.orders", b"42")
    await eventually(lambda: store.status().state is StoreState.FAILED)
    assert "a stream of its own" in (store.status().last_error or "")


async def test_after_the_stream_was_made_anew_watches_say_that_history_is_gone(a_store, jetstream):
    store = await a_store()
    await serving(store)
    old = store.status().cluster_id
    for value in (b"1", b"2", b"3"):
        await store.put(b"k", value)
    async with aclosing(store.watch(b"")) as watch:
        await anext(watch)
        await jetstream.delete_stream("test")
        with pytest.raises(Compacted):
            await read_on(watch)
    await serving(store)
    assert await store.get(b"k") is None
    assert old != store.status().cluster_id


async def test_a_value_larger_than_a_message_may_be_is_refused_and_harms_nothing(a_store):
    store = await a_store()
    await serving(store)
    with pytest.raises(StoreError, match="max_payload"):
        await store.put(b"k", bytes(3 << 20))
    with pytest.raises(StoreError, match="shorter"):
        await store.put(bytes(4000), b"")
    assert await store.get(b"k") is None


async def test_a_put_whose_answer_does_not_come_is_left_open(a_store, server):
    store = await a_store(timeout_seconds=0.5)
    await serving(store)
    await server.pause()
    try:
        with pytest.raises(OutcomeUnknown):
            await store.put(b"k", bytes(1 << 20))
        await eventually(lambda: store.status().state is StoreState.NO_QUORUM)
        with pytest.raises(Unavailable):
            await store.get(b"k")
    finally:
        await server.resume()
    await serving(store)


async def test_a_store_can_be_stopped_while_its_server_stands_still(a_store, server):
    store = await a_store()
    await serving(store)
    await server.pause()
    try:
        puts = [asyncio.create_task(store.put(b"k", bytes(1 << 20))) for _ in range(8)]
        await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_S):
            await store.stop()
            outcomes = await asyncio.gather(*puts, return_exceptions=True)
    finally:
        await server.resume()
    assert all(isinstance(outcome, (OutcomeUnknown, Unavailable)) for outcome in outcomes)
    assert StoreState.STOPPED is store.status().state


async def test_old_history_is_discarded_by_itself(a_store, jetstream):
    store = await a_store(history_seconds=0.5)
    await serving(store)
    first = await store.put(b"k", b"1")
    for value in (b"2", b"3"):
        await store.put(b"k", value)
    await store.put(b"gone", b"")
    await store.delete(b"gone")
    with pytest.raises(Compacted):
        await watch_again_and_again(store, first)

    async def left() -> list[str]:
        info = await jetstream.stream_info("test", subjects_filter="test.key.>")
        return [f"{subject}: {n}" for subject, n in (info.state.subjects or {}).items()]

    async with asyncio.timeout(WITHIN_S):
        while await left() != ["test.key.=k: 1"]:
            await asyncio.sleep(0.05)
    entry = await store.get(b"k")
    assert entry is not None
    assert b"3" == entry.value


async def test_it_knows_who_is_there(a_store):
    one, two = await a_store("one"), await a_store("two")
    await serving(one)
    await serving(two)
    assert {"one", "two"} == await one.present()
    await two.stop()
    began = time.monotonic()
    while await one.present() != {"one"}:
        assert time.monotonic() < began + WITHIN_S
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("replicas", "survives"), [(1, False), (3, True), (5, True)])
async def test_only_copies_on_other_servers_survive_the_loss_of_one(replicas, survives, a_store):
    store = await a_store(replicas=replicas)
    assert survives == (Capability.SURVIVES_MINORITY_LOSS in store.capabilities)


def test_an_even_number_of_copies_is_refused():
    with pytest.raises(ValueError, match="set 3 or 5"):
        NatsSettings(replicas=4)
