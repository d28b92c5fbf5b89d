"""The store's operations before, while and after there is a cluster."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from formal_cluster.errors import Unavailable
from formal_cluster.hookspecs import DriverSettings
from formal_cluster.model import Event, EventKind, Role, StoreState
from formal_cluster.protocols import StateStore
from formal_cluster_store_etcd import plugin
from formal_cluster_store_etcd.settings import EtcdSettings

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


def test_the_plugin_makes_the_store_from_its_settings(fleet):
    (one,) = fleet(1)
    settings = EtcdSettings(data_dir=one.data_dir)
    store = plugin.create_store(settings, None)
    assert plugin.store_settings() is EtcdSettings
    assert issubclass(EtcdSettings, DriverSettings)
    assert isinstance(store, StateStore)


async def test_a_watch_may_begin_before_there_is_a_cluster(any_store, eventually):
    one = any_store
    await one.start()
    async with aclosing(one.store.watch(b"a/")) as updates:
        await anext(updates)
        revision = await one.put(b"a/key", b"value")
        events = []
        async for update in updates:
            events += update.events
            if update.revision >= revision:
                break
    assert Event(EventKind.PUT, b"a/key", b"value", revision) == events[-1]


async def test_keys_of_the_supervisors_are_apart_from_the_stores_users(any_store, eventually):
    one = any_store
    await one.start()
    await eventually(lambda: one.serves)
    await one.put(b"/formal-cluster/key", b"value")
    assert [b"/formal-cluster/key"] == await one.keys(b"/formal-cluster/")


async def test_the_condition_tells_who_leads_how_current_it_is_and_of_which_cluster(
    fleet, eventually
):
    (one,) = fleet(1)
    await one.start()
    status = await eventually(
        lambda: one.serves and one.members(Role.VOTER) == {one.id} and one.status
    )
    assert StoreState.SERVING is status.state
    assert one.id == status.leader
    assert [(one.id, one.instance.address, True)] == [
        (member.id, member.address, member.healthy) for member in status.members
    ]
    assert status.stale_ms < 2_000, "or it would not be said to serve"
    assert status.revision > 0
    assert status.last_error is None


async def test_a_stopped_store_says_so_and_does_nothing(any_store, eventually):
    one = any_store
    await one.start()
    await eventually(lambda: one.serves)
    store = one.store
    await one.stop()
    await store.stop()
    assert StoreState.STOPPED is store.status().state
    with pytest.raises(Unavailable):
        await store.get(b"key")


async def test_a_store_that_was_not_started_says_so(any_store):
    one = any_store
    store = plugin.create_store(EtcdSettings(**one.settings), None)
    assert "the store was not started" == store.status().last_error
    with pytest.raises(Unavailable, match="the store was not started"):
        await store.put(b"key", b"value")
