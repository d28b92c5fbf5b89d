"""Load a plugin and call its hooks: the only module that touches pluggy's manager.

pluggy holds the hook specifications, validates implementations against them and calls them.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

import pluggy

from formal_cluster.errors import ConfigError, FormalClusterError
from formal_cluster.hookspecs import FAMILIES, PROJECT, DriverSettings
from formal_cluster.plugins.checks import Implementation, broken_rules, missing_from_protocol
from formal_cluster.plugins.entry_point import Unloadable, load, shown
from formal_cluster.plugins.records import Plugin, PluginStatus, UnusablePlugin
from formal_cluster.protocols import Counters, Discovery, Enricher, StateStore
from formal_cluster.settings_file.check import validated
from formal_cluster.settings_file.sources import Sources

_PROTOCOLS: Mapping[str, type] = {
    "discovery": Discovery,
    "store": StateStore,
    "counters": Counters,
    "enrichment": Enricher,
}


class Hooks:
    """The hook specifications of all families and the plugins registered for them."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        for family in FAMILIES.values():
            self._pluggy.add_hookspecs(family.spec)

    def load(self, plugin: Plugin) -> LoadedPlugin:
        """Import a plugin, check it and register it as `family:name`.

        Raises:
            UnusablePlugin: It cannot be imported or breaks a rule.
        """
        family = FAMILIES[plugin.family]
        implementer = _implementer(plugin)
        rules = broken_rules(implementer, family, self._implementations(implementer))
        if rules:
            raise _broken(plugin, "; ".join(rules))
        # One module may serve two families or two names; pluggy takes an object only once.
        if not self._pluggy.is_registered(implementer):
            try:
                self._pluggy.register(implementer, name=plugin.id)
            except pluggy.PluginValidationError as error:
                raise _broken(plugin, " ".join(str(error).split())) from error
        return LoadedPlugin(self, plugin, implementer, self._settings_class(plugin, implementer))

    def call(self, plugin: Plugin, implementer: object, hook: str, **arguments: Any) -> Any:
        """Call a hook on one plugin alone.

        Raises:
            FormalClusterError: The plugin raised it, or UnusablePlugin: it raised something else.
        """
        others = self._pluggy.get_plugins() - {implementer}
        caller = self._pluggy.subset_hook_caller(hook, others)
        try:
            result = caller(**arguments)
        except FormalClusterError:
            raise
        except Exception as error:
            raise _broken(plugin, f"{hook} raised {shown(error)}") from error
        if inspect.iscoroutine(result):
            result.close()
        if isinstance(result, Awaitable):
            raise _broken(plugin, f"{hook} returned an awaitable; it must return the result itself")
        return result

    def _settings_class(self, plugin: Plugin, implementer: object) -> type[DriverSettings]:
        hook = FAMILIES[plugin.family].settings_hook
        try:
            found = self.call(plugin, implementer, hook)
        except UnusablePlugin:
            raise
        except FormalClusterError as error:
            raise _broken(plugin, f"{hook} raised {shown(error)}") from error
        if inspect.isclass(found) and issubclass(found, DriverSettings):
            return found
        raise _broken(
            plugin, f"{hook} returned {reprlib.repr(found)}, which is no subclass of DriverSettings"
        )

    def _implementations(self, implementer: object) -> list[Implementation]:
        found = []
        for attribute in dir(implementer):
            options = self._pluggy.parse_hookimpl_opts(implementer, attribute)
            if options is not None:
                found.append(
                    Implementation(
                        attribute=attribute,
                        hook=options.get("specname") or attribute,
                        function=getattr(implementer, attribute),
                        is_wrapper=bool(options.get("wrapper") or options.get("hookwrapper")),
                        is_optional=bool(options.get("optionalhook")),
                    )
                )
        return found


class LoadedPlugin:
    """A plugin that keeps the rules, ready to build its driver."""

    def __init__(
        self,
        hooks: Hooks,
        plugin: Plugin,
        implementer: object,
        settings_class: type[DriverSettings],
    ) -> None:
        self._hooks = hooks
        self._implementer = implementer
        self.plugin = plugin
        self.settings_class = settings_class

    def settings(self, table: Mapping[str, Any], sources: Sources) -> DriverSettings:
        """The driver's table, validated with the plugin's own class.

        Raises:
            ConfigError: It does not fit, or UnusablePlugin: the class is broken.
        """
        at = (self.plugin.family, self.plugin.name)
        try:
            return validated(self.settings_class, table, at, sources)
        except ConfigError:
            raise
        except Exception as error:
            what = f"{self.settings_class.__name__} raised {shown(error)}"
            raise _broken(self.plugin, what) from error

    def create(self, settings: DriverSettings, context: object) -> object:
        """Build the driver, an object of the family's Protocol.

        Raises:
            FormalClusterError: As the plugin says, or UnusablePlugin: the plugin is broken.
        """
        hook = FAMILIES[self.plugin.family].create_hook
        driver = self._hooks.call(
            self.plugin, self._implementer, hook, settings=settings, context=context
        )
        protocol = _PROTOCOLS[self.plugin.family]
        if lacks := missing_from_protocol(driver, protocol):
            is_no = f"{hook} returned {reprlib.repr(driver)}, which is no {protocol.__name__}"
            raise _broken(self.plugin, f"{is_no}: {'; '.join(lacks)}")
        return driver


def _implementer(plugin: Plugin) -> object:
    """What the entry point names; an instance of it if that is a class.

    Raises:
        UnusablePlugin: Importing it failed, for whatever reason.
    """
    try:
        named = load(plugin.entry_point, plugin.distribution)
        return named() if inspect.isclass(named) else named
    except Unloadable as error:
        raise _broken(plugin, error.detail, error.mend) from error
    except (Exception, SystemExit) as error:
        raise _broken(plugin, f"making an instance of it raised {shown(error)}") from error


def _broken(plugin: Plugin, detail: str, mend: str | None = None) -> UnusablePlugin:
    mend = mend or f"upgrade {plugin.distribution} or report this to its authors"
    return UnusablePlugin(replace(plugin, status=PluginStatus.FAILED, detail=detail, mend=mend))
