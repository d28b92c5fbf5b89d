"""The plugin: what the entry point `formal_cluster.store.v1: etcd` names."""

from __future__ import annotations

from formal_cluster import hookimpl
from formal_cluster.hookspecs import DriverSettings, StoreContext
from formal_cluster.protocols import StateStore
from formal_cluster_store_etcd.external import ExternalStore
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.store import EtcdStore


@hookimpl
def store_settings() -> type[DriverSettings]:
    """The settings class of `[store.etcd]`."""
    return EtcdSettings


@hookimpl
def create_store(settings: DriverSettings, context: StoreContext) -> StateStore:
    """The store; `start` launches etcd, or connects to the one that `endpoints` names."""
    assert isinstance(settings, EtcdSettings)
    return ExternalStore(settings, context) if settings.endpoints else EtcdStore(settings, context)
