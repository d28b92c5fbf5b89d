"""Load a plugin and call its hooks: the only module that touches pluggy and stevedore.

pluggy holds the hook specifications, validates implementations against them and calls them.
stevedore does one thing: it loads the one entry point it is given. Its own scan, its cache and its
choice between equal names are never reached (`scan.py` says why), nor are `DriverManager`, which
hands out the class in place of an object that is falsy, and the managers that import every plugin
of a group before they can be told which one is wanted.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import pluggy
from stevedore.extension import ExtensionManager

from formal_cluster.errors import ConfigError, FormalClusterError
from formal_cluster.hookspecs import FAMILIES, PROJECT, DriverSettings
from formal_cluster.plugins.checks import Implementation, broken_rules, missing_from_protocol
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
            raise _broken(plugin, f"{hook} raised {_shown(error)}") from error
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
            raise _broken(plugin, f"{hook} raised {_shown(error)}") from error
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
            what = f"{self.settings_class.__name__} raised {_shown(error)}"
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


def stevedore_cache_is_stale() -> bool:
    """Whether stevedore's own scan, which we do not use, misses or invents a plugin of ours.

    Asking it fills its cache on disk if that is empty, as any use of stevedore does.
    """
    for family in FAMILIES.values():
        scan = ExtensionManager[object].make_test_instance([], namespace=family.group)
        cached = {(entry.name, entry.value) for entry in scan.list_entry_points()}
        if cached != {(entry.name, entry.value) for entry in entry_points(group=family.group)}:
            return True
    return False


class _OneEntryPoint(ExtensionManager[object]):
    """stevedore's manager, given its entry point instead of scanning for it."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self._entry_point = entry_point
        super().__init__(entry_point.group, on_load_failure_callback=_raise)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry_point]


def _raise(_manager: object, _entry_point: EntryPoint, error: BaseException) -> NoReturn:
    raise error


def _implementer(plugin: Plugin) -> object:
    """What the entry point names; an instance of it if that is a class.

    Raises:
        UnusablePlugin: Importing it failed, for whatever reason.
    """
    try:
        (extension,) = _OneEntryPoint(plugin.entry_point).extensions
        named: object = extension.plugin
        return named() if inspect.isclass(named) else named
    except ImportError as error:
        raise _broken(plugin, _shown(error), _import_mend(plugin, error)) from error
    except (Exception, SystemExit) as error:
        raise _broken(plugin, f"importing it raised {_shown(error)}") from error


def _import_mend(plugin: Plugin, error: ImportError) -> str:
    is_cores_own = plugin.distribution == PROJECT.replace("_", "-")
    if (error.name or "").partition(".")[0] == PROJECT and not is_cores_own:
        return f"install a version of {plugin.distribution} made for this formal-cluster"
    return f"reinstall it with what it needs: pip install --force-reinstall {plugin.distribution}"


def _broken(plugin: Plugin, detail: str, mend: str | None = None) -> UnusablePlugin:
    mend = mend or f"upgrade {plugin.distribution} or report this to its authors"
    return UnusablePlugin(replace(plugin, status=PluginStatus.FAILED, detail=detail, mend=mend))


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
