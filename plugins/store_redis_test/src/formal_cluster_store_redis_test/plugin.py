"""The plugin: what the entry point `formal_cluster.store.v1: redis-test` names."""

from __future__ import annotations

from formal_cluster import hookimpl
from formal_cluster.hookspecs import DriverSettings, StoreContext
from formal_cluster.protocols import StateStore
from formal_cluster_store_redis_test.settings import RedisTestSettings


@hookimpl
def store_settings() -> type[DriverSettings]:
    """The settings class of `[store.redis-test]`."""
    return RedisTestSettings


@hookimpl
def create_store(settings: DriverSettings, context: StoreContext) -> StateStore:
    """The store; `start` connects. The client library is not loaded before."""
    from formal_cluster_store_redis_test.store import RedisStore

    assert isinstance(settings, RedisTestSettings)
    return RedisStore(settings, context)
