"""`formal-cluster config`: the settings as they are in effect, and the schema of the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.errors import ConfigError, PluginError
from formal_cluster.plugins import PluginManager, PluginStatus
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings, sources_of
from formal_cluster.settings_file.check import dotted
from formal_cluster.settings_file.env import KeyPath
from formal_cluster.settings_file.keys import DRIVER_TABLES
from formal_cluster.settings_file.schema import settings_schema
from formal_cluster.settings_file.sources import Sources


class _Setting(NamedTuple):
    key: str
    value: object
    source: str


@click.group()
def config() -> None:
    """Show the effective settings, or their JSON Schema."""


@config.command()
@config_option
def schema(config: Path | None) -> None:
    """Print the JSON Schema of a settings file, with the tables of all installed drivers.

    Drivers that the settings deny are not imported and left out.
    """
    manager = PluginManager(load_settings(config, os.environ))
    found = manager.inventory(import_all=True)
    for plugin in found:
        if plugin.status is PluginStatus.FAILED:
            text = f"{plugin.family}.{plugin.name} is left out: {plugin.detail}; {plugin.mend}"
            click.echo(f"warning: {text}", err=True)
    drivers = {
        (plugin.family, plugin.name): manager.load(plugin.family, plugin.name).settings_class
        for plugin in found
        if plugin.status is PluginStatus.LOADED
    }
    click.echo(json.dumps(settings_schema(drivers), indent=2))


@config.command()
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """Show every setting in effect and where it comes from. Secrets are masked."""
    settings = load_settings(config, os.environ)
    document = _effective(settings, PluginManager.from_settings(settings))
    rows = list(_rows(document, (), sources_of(settings)))
    if as_json:
        by_key = {row.key: {"value": row.value, "source": row.source} for row in rows}
        click.echo(json.dumps(by_key, indent=2))
    else:
        _print(rows)


def _effective(settings: Settings, manager: PluginManager) -> dict[str, Any]:
    """The settings as one document, each chosen driver's table validated and complete."""
    document = settings.model_dump(mode="json", by_alias=True)
    for family, drivers in manager.chosen().items():
        del document[family][DRIVER_TABLES]
        for driver in drivers:
            try:
                table = manager.driver_settings(family, driver)
            except (ConfigError, PluginError) as error:
                for line in str(error).splitlines():
                    click.echo(f"warning: {family}.{driver} is left out: {line}", err=True)
            else:
                document[family][driver] = table.model_dump(mode="json", by_alias=True)
    return document


def _rows(value: object, path: KeyPath, sources: Sources) -> Iterator[_Setting]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _rows(inner, (*path, key), sources)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _rows(item, (*path, index), sources)
    else:
        is_set = sources.variable(path) is not None or sources.is_from_file(path)
        yield _Setting(dotted(path), value, (is_set and sources.where(path)) or "default")


def _print(rows: Sequence[_Setting]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(name, overflow="fold") for name in ("key", "value", "source")))
    for row in rows:
        is_default = row.source == "default"
        cells = (row.key, json.dumps(row.value), row.source)
        table.add_row(*(Text(cell) for cell in cells), style="dim" if is_default else None)
    Console().print(table)
