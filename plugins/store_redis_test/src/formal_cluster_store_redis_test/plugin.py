"""Store driver `redis-test`. This version knows its settings; it cannot store yet."""

from __future__ import annotations

from formal_cluster.errors import PluginError
from formal_cluster.hookspecs import StoreContext, hookimpl
from formal_cluster.protocols import StateStore
from formal_cluster_store_redis_test.settings import RedisTestSettings


@hookimpl
def store_settings() -> type[RedisTestSettings]:
    """The class of `[store.redis-test]`."""
    return RedisTestSettings


@hookimpl
def create_store(settings: RedisTestSettings, context: StoreContext) -> StateStore:  # noqa: ARG001  the hook's signature
    """Refuse.

    Raises:
        PluginError: Always.
    """
    raise PluginError(
        "store driver 'redis-test' is not available yet in this version of "
        "formal-cluster-store-redis-test; use 'etcd', or 'memory' for a single process"
    )
