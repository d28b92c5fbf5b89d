"""What a command that a plugin brings may use of core; `plugins/commands.py` says how it is found.

    from formal_cluster.commands import CommandContext, config_option

    @click.command()
    @config_option
    def snapshot(config: Path | None) -> None:
        settings = CommandContext.load(config).driver_settings("store", "etcd")

An error of `formal_cluster.errors` that the command raises ends it with its message and no
traceback: with exit code 2 if it is about the settings or a plugin, else with 1.

This module is imported to show `formal-cluster --help`, so the rest of core is imported later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from formal_cluster.errors import ConfigError

if TYPE_CHECKING:
    from formal_cluster.hookspecs import DriverSettings
    from formal_cluster.model import Instance
    from formal_cluster.protocols import Discovery
    from formal_cluster.settings import Settings

_F = TypeVar("_F", bound=Callable[..., object])
_FILE_VARIABLE: Final = "FORMAL_CLUSTER_CONFIG"
"""As `settings_file.env` has it."""

config_option: Callable[[_F], _F] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar=_FILE_VARIABLE,
    show_envvar=True,
    help="The settings file (TOML).",
)
json_option: Callable[[_F], _F] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for programs."
)


class CommandContext:
    """The settings in effect, and what they say about this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def load(cls, config: Path | None) -> CommandContext:
        """Read the settings as `formal-cluster serve` would, and log what goes wrong to stderr.

        Raises:
            ConfigError: They are wrong.
        """
        from formal_cluster.logs import configure_logging
        from formal_cluster.settings_file import load_settings

        settings = load_settings(config, os.environ)
        configure_logging(settings.log.model_copy(update={"level": "warning"}))
        return cls(settings)

    def driver_settings(self, family: str, name: str) -> DriverSettings:
        """The settings of a driver that is chosen, validated with the driver's own class.

        Raises:
            ConfigError: They are wrong, or choose another driver.
            PluginError: The driver cannot be used.
        """
        from formal_cluster.plugins import PluginManager
        from formal_cluster.plugins.configured import chosen

        drivers = chosen(self._settings)[family]
        if name not in drivers:
            raise ConfigError(
                f"this command is for the {family} driver {name!r}, but the settings choose "
                f"{', '.join(map(repr, drivers)) or 'none'}; name the right settings file with "
                "--config"
            )
        return PluginManager.from_settings(self._settings).driver_settings(family, name)

    async def identify(self) -> Instance:
        """The instance that a process started here would be, as discovery sees it.

        Raises:
            DiscoveryError: The platform did not answer, or this is none of the instances.
        """
        async with aclosing(open_discovery(self._settings)) as discovery:
            return await discovery.identify()


def open_discovery(settings: Settings) -> Discovery:
    """The discovery that the settings choose.

    Raises:
        ConfigError, PluginError: A driver's settings are wrong, or it cannot be used.
    """
    from formal_cluster.discovery.drivers import create_drivers
    from formal_cluster.discovery.merge import MergedDiscovery
    from formal_cluster.plugins import PluginManager

    drivers = create_drivers(settings, PluginManager.from_settings(settings).create_discovery)
    # Alone, a driver speaks for itself: merged, its failure would be told twice, log and error.
    return drivers[0] if len(drivers) == 1 else MergedDiscovery(drivers)
