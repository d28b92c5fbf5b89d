"""THE contract of formal-cluster's plugins: four hook families.

A plugin is a module (or class) named by an entry point. The entry point's *group* is the family
and its API version, its *name* is the driver's name:

    [project.entry-points."formal_cluster.discovery.v1"]
    consul = "my_package.plugin"

and the module implements the family's two hooks:

    from formal_cluster import hookimpl

    @hookimpl
    def discovery_settings() -> type[DriverSettings]:
        return ConsulSettings

    @hookimpl
    def create_discovery(settings: ConsulSettings, context: DiscoveryContext) -> Discovery:
        return ConsulDiscovery(settings)

Rules, checked when the plugin is registered:

- Hooks are plain functions. They build an object and return at once; I/O belongs into the object's
  async methods. A coroutine function is refused.
- Every argument of the specification is taken, by its name.
- `create_…` is called once per process and configured driver, with settings already validated.

A plugin may also bring subcommands of `formal-cluster`: see `plugins/commands.py`.

Versioning: hooks and Protocols do not change within a version. New things come as fields of a
context that have a default, as Protocols that a driver may also implement, and as capabilities. A
change that existing drivers would notice gets the groups `….v2` next to `….v1`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pluggy
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from formal_cluster.model import ClusterState, Instance
    from formal_cluster.protocols import Counters, Discovery, Enricher, StateStore

PROJECT = "formal_cluster"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class DriverSettings(BaseModel):
    """Base class of a driver's settings: its table of the configuration file.

    Unknown keys are errors, values are immutable. Give each field a `description`; it becomes the
    documentation in `formal-cluster config schema`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def needs_discovery(self) -> bool:
        """Whether the driver has to be told who else exists. Asked of the store's settings only.

        A store that is reached at configured addresses returns False; then an instance without any
        discovery settings is identified by `instance.id`, else by its host name.
        """
        return True


@dataclass(frozen=True, slots=True)
class DiscoveryContext:
    """What core hands to a discovery driver.

    Attributes:
        instance_id: `instance.id` from the settings, if the operator set one.
        logger: A logger of the driver's own.
    """

    instance_id: str | None
    logger: logging.Logger


@dataclass(frozen=True, slots=True)
class StoreContext:
    """What core hands to a store driver.

    Attributes:
        instance: This process.
        discovery: Who else exists; the store decides on membership by it. Knows of this process
            alone, and is incomplete, if the store needs no discovery and none is configured.
    """

    instance: Instance
    discovery: Discovery
    logger: logging.Logger


@dataclass(frozen=True, slots=True)
class CountersContext:
    """What core hands to a counters driver.

    Attributes:
        store: A started store.
        prefix: Keys of the store that belong to the counters.
    """

    instance: Instance
    store: StateStore
    prefix: bytes
    logger: logging.Logger


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster's condition, as enrichers and policies see it.

    Attributes:
        stale_ms: Age of the counters in milliseconds; None if nothing was ever heard.
        peers: Other members that are not known to be unhealthy.
        reachable: Whether the counters' log is followed and current. A store that is not shared
            may be reachable while the instance is standalone.
        unseen: How many other instances may have counted what is not known here: 0 while the
            counters are current, None if that is not known.
    """

    state: ClusterState
    stale_ms: int | None
    peers: int
    reachable: bool
    unseen: int | None = 0


@dataclass(frozen=True, slots=True)
class EnrichmentContext:
    """What core hands to an enricher.

    Attributes:
        cluster: Returns the cluster's present condition, from memory.
    """

    instance: Instance
    cluster: Callable[[], ClusterInfo]
    logger: logging.Logger


class DiscoverySpec:
    """Family `formal_cluster.discovery.v1`: any number, in the configured order."""

    @hookspec(firstresult=True)
    def discovery_settings(self) -> type[DriverSettings]:  # type: ignore[empty-body]
        """The settings class of `[discovery.<name>]`."""

    @hookspec(firstresult=True)
    def create_discovery(  # type: ignore[empty-body]
        self, settings: DriverSettings, context: DiscoveryContext
    ) -> Discovery:
        """Build the driver."""


class StoreSpec:
    """Family `formal_cluster.store.v1`: exactly one, chosen by `store.driver`."""

    @hookspec(firstresult=True)
    def store_settings(self) -> type[DriverSettings]:  # type: ignore[empty-body]
        """The settings class of `[store.<name>]`."""

    @hookspec(firstresult=True)
    def create_store(  # type: ignore[empty-body]
        self, settings: DriverSettings, context: StoreContext
    ) -> StateStore:
        """Build the driver; `StateStore.start` will be called on it."""


class CountersSpec:
    """Family `formal_cluster.counters.v1`: exactly one, chosen by `counters.driver`."""

    @hookspec(firstresult=True)
    def counters_settings(self) -> type[DriverSettings]:  # type: ignore[empty-body]
        """The settings class of `[counters.<name>]`."""

    @hookspec(firstresult=True)
    def create_counters(  # type: ignore[empty-body]
        self, settings: DriverSettings, context: CountersContext
    ) -> Counters:
        """Build the driver; `Counters.start` will be called on it."""


class EnrichmentSpec:
    """Family `formal_cluster.enrichment.v1`: any number, in the configured order."""

    @hookspec(firstresult=True)
    def enrichment_settings(self) -> type[DriverSettings]:  # type: ignore[empty-body]
        """The settings class of `[enrichment.<name>]`."""

    @hookspec(firstresult=True)
    def create_enricher(  # type: ignore[empty-body]
        self, settings: DriverSettings, context: EnrichmentContext
    ) -> Enricher:
        """Build the enricher."""


@dataclass(frozen=True, slots=True)
class Family:
    """One hook family: where its plugins are found and what they implement."""

    name: str
    group: str
    spec: type
    settings_hook: str
    create_hook: str


def _family(name: str, spec: type, settings_hook: str, create_hook: str) -> Family:
    return Family(name, f"formal_cluster.{name}.v{API_VERSION}", spec, settings_hook, create_hook)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            _family("discovery", DiscoverySpec, "discovery_settings", "create_discovery"),
            _family("store", StoreSpec, "store_settings", "create_store"),
            _family("counters", CountersSpec, "counters_settings", "create_counters"),
            _family("enrichment", EnrichmentSpec, "enrichment_settings", "create_enricher"),
        )
    }
)
