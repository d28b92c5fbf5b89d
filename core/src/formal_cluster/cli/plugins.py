"""`formal-cluster plugins`: what is installed, and how far each plugin got."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.plugins import Plugin, PluginManager, PluginStatus
from formal_cluster.settings_file import load_settings

_STYLES = {
    PluginStatus.AVAILABLE: "dim",
    PluginStatus.LOADED: "green",
    PluginStatus.DENIED: "dim",
}
_TROUBLE = "red"


@click.command()
@config_option
@json_option
@click.option("--import", "import_all", is_flag=True, help="Import also those that are not chosen.")
def plugins(config: Path | None, *, as_json: bool, import_all: bool) -> None:
    """List the installed plugins and how far each got.

    The ones that the settings choose are imported to find out. Exit code 1: one of them failed.
    """
    found = PluginManager(load_settings(config, os.environ)).inventory(import_all=import_all)
    if as_json:
        click.echo(json.dumps([plugin.to_json() for plugin in found], indent=2))
    else:
        _show(found)
    sys.exit(1 if any(plugin.status is PluginStatus.FAILED for plugin in found) else 0)


def _show(found: Sequence[Plugin]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    names = ("family", "driver", "status", "distribution", "version")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for plugin in found:
        status = Text(plugin.status, style=_STYLES.get(plugin.status, _TROUBLE))
        table.add_row(plugin.family, plugin.name, status, plugin.distribution, plugin.version)
    console.print(table)
    for plugin in found:
        if plugin.detail:
            console.print(
                f"{plugin.id} of {plugin.origin}: {plugin.detail}; {plugin.mend}", soft_wrap=True
            )
