"""The plugins of one process: which are chosen, and the drivers they build."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from formal_cluster.errors import ConfigError, PluginError
from formal_cluster.hookspecs import (
    CountersContext,
    DiscoveryContext,
    DriverSettings,
    EnrichmentContext,
    StoreContext,
)
from formal_cluster.plugins import configured
from formal_cluster.plugins.loading import Hooks, LoadedPlugin
from formal_cluster.plugins.records import Plugin, PluginStatus, UnusablePlugin
from formal_cluster.plugins.scan import installed
from formal_cluster.plugins.selection import pick, sifted, unknown_denials
from formal_cluster.protocols import Counters, Discovery, Enricher, StateStore
from formal_cluster.settings import Settings
from formal_cluster.settings_file import sources_of

_LOG = logging.getLogger(__name__)


class PluginManager:
    """The installed plugins and the drivers that the settings choose among them.

    A plugin is imported when its driver is first asked for, never merely because it is installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sources = sources_of(settings)
        self._plugins = sifted(installed(), settings.plugins.deny)
        self._hooks = Hooks()
        self._outcomes: dict[str, LoadedPlugin | UnusablePlugin] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> PluginManager:
        """Find the installed plugins; chosen ones that are broken show when they are created.

        Raises:
            ConfigError: There are settings for a driver that is neither chosen nor installed.
        """
        manager = cls(settings)
        if stray := manager.stray_tables():
            raise ConfigError("\n".join(stray))
        for entry in manager.unknown_denials():
            _LOG.warning("plugins.deny names no installed plugin", extra={"entry": entry})
        return manager

    # ── drivers ──────────────────────────────────────────────────────────────────────────────

    def discovery_drivers(self) -> tuple[str, ...]:
        """The names of the discovery drivers to use. None, if the store does without discovery and
        the settings say nothing about it. Raises as `create_discovery`.
        """
        if configured.names_discovery(self._settings):
            return self._settings.discovery.drivers
        store = self.driver_settings("store", self._settings.store.driver)
        return self._settings.discovery.drivers if store.needs_discovery else ()

    def chosen(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the drivers in use, in order, by family. If the store cannot be asked
        whether it does without discovery, discovery is what the settings say.
        """
        chosen = dict(configured.chosen(self._settings))
        with contextlib.suppress(ConfigError, PluginError):
            chosen["discovery"] = self.discovery_drivers()
        return chosen

    def create_discovery(self, name: str, context: DiscoveryContext) -> Discovery:
        """Build a discovery driver.

        Raises:
            NoDriver: No plugin provides it, or the one that does cannot be used.
            ConfigError: Its table is wrong.
        """
        return cast("Discovery", self._create("discovery", name, context))

    def create_store(self, context: StoreContext) -> StateStore:
        """Build the store that `store.driver` chooses. Raises as `create_discovery`."""
        return cast("StateStore", self._create("store", self._settings.store.driver, context))

    def create_counters(self, context: CountersContext) -> Counters:
        """Build the counters that `counters.driver` chooses. Raises as `create_discovery`."""
        return cast("Counters", self._create("counters", self._settings.counters.driver, context))

    def create_enricher(self, name: str, context: EnrichmentContext) -> Enricher:
        """Build an enricher. Raises as `create_discovery`.

        Whether a PluginError is fatal is up to the caller, as `enrichment.on_broken_plugin` says.
        """
        return cast("Enricher", self._create("enrichment", name, context))

    def driver_settings(self, family: str, name: str) -> DriverSettings:
        """A driver's table, validated with the driver's own class. Raises as `create_discovery`."""
        table = configured.table(self._settings, family, name)
        return self.load(family, name).settings(table, self._sources)

    def load(self, family: str, name: str) -> LoadedPlugin:
        """Import and register a driver's plugin, once.

        Raises:
            NoDriver: No plugin provides the driver, or the one that does cannot be used.
        """
        plugin = pick(self._plugins, family, name)
        outcome = self._outcomes.get(plugin.id)
        if outcome is None:
            try:
                outcome = self._hooks.load(plugin)
            except UnusablePlugin as error:
                outcome = error
            self._outcomes[plugin.id] = outcome
        if isinstance(outcome, UnusablePlugin):
            raise outcome
        return outcome

    def _create(self, family: str, name: str, context: object) -> object:
        settings = self.driver_settings(family, name)
        return self.load(family, name).create(settings, context)

    # ── what is there ────────────────────────────────────────────────────────────────────────

    def inventory(self, *, import_all: bool = False) -> list[Plugin]:
        """Every installed plugin and how far it got; the chosen ones are imported to find out.

        Args:
            import_all: Import the others too, except denied ones.
        """
        chosen = self.chosen()
        return [
            self._tried(plugin)
            if plugin.status is PluginStatus.AVAILABLE
            and (import_all or plugin.name in chosen[plugin.family])
            else plugin
            for plugin in self._plugins
        ]

    def _tried(self, plugin: Plugin) -> Plugin:
        try:
            self.load(plugin.family, plugin.name)
        except UnusablePlugin as error:
            return error.plugin
        return replace(plugin, status=PluginStatus.LOADED)

    def stray_tables(self) -> list[str]:
        """Settings for drivers that are neither chosen nor installed, each as a sentence."""
        return configured.stray_tables(self._settings, self._plugins, self._sources)

    def unknown_denials(self) -> list[str]:
        """Entries of `plugins.deny` that no installed plugin answers to."""
        return unknown_denials(self._plugins, self._settings.plugins.deny)
