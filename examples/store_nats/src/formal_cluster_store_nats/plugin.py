"""Hooks of the plugin `nats`."""

from __future__ import annotations

from formal_cluster.hookspecs import DriverSettings, StoreContext, hookimpl
from formal_cluster.protocols import StateStore
from formal_cluster_store_nats.settings import NatsSettings


@hookimpl
def store_settings() -> type[DriverSettings]:
    """`[store.nats]`"""
    return NatsSettings


@hookimpl
def create_store(settings: NatsSettings, context: StoreContext) -> StateStore:
    """The driver."""
    from formal_cluster_store_nats.store import NatsStore

    return NatsStore(settings, context.instance.id, context.logger)
