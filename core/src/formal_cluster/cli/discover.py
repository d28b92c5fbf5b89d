"""`formal-cluster discover`: who exists, as the configured discovery drivers see it.

It asks the platform itself and needs no running instance, but has to run where one would: in the
task, the pod or on the machine.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.commands import open_discovery
from formal_cluster.discovery.clock_bound import clock_error_bound_ms
from formal_cluster.errors import DiscoveryError
from formal_cluster.logs import configure_logging
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings

_INTERRUPTED = 130
_STYLES = {
    InstanceState.RUNNING: "green",
    InstanceState.STARTING: "yellow",
    InstanceState.STOPPED: "red",
    InstanceState.UNKNOWN: "dim",
}


@click.command()
@config_option
@json_option
@click.option("--watch", is_flag=True, help="Go on, with each change, until interrupted.")
def discover(config: Path | None, *, as_json: bool, watch: bool) -> None:
    """Show the instances that the configured discovery drivers see.

    With --json --watch each line is one view. Exit code: 0 the view was shown, 1 the platform did
    not answer or this process is not one of the instances, 2 the settings are wrong.
    """
    settings = load_settings(config, os.environ)
    # What goes right is on stdout, and SDKs are talkative: only what goes wrong is logged.
    configure_logging(settings.log.model_copy(update={"level": "warning"}))
    try:
        asyncio.run(_run(settings, as_json=as_json, watch=watch))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


async def _run(settings: Settings, *, as_json: bool, watch: bool) -> None:
    async with aclosing(open_discovery(settings)) as discovery:
        me = await _identified(discovery)
        my_id = me.id if isinstance(me, Instance) else None
        if not watch:
            view = await discovery.discover()
            _show(view, my_id, clock_error_bound_ms(discovery), as_json=as_json, indent=2)
            if isinstance(me, DiscoveryError):
                raise me
            return
        if isinstance(me, DiscoveryError):
            click.echo(f"warning: {me}", err=True)
        async with aclosing(discovery.watch()) as views:
            async for view in views:
                _show(view, my_id, clock_error_bound_ms(discovery), as_json=as_json, indent=None)


async def _identified(discovery: Discovery) -> Instance | DiscoveryError:
    """This process; or why it is none of the instances, which the view may help to understand."""
    try:
        return await discovery.identify()
    except DiscoveryError as error:
        return error


def document(view: View, my_id: str | None, clock_bound_ms: float | None) -> dict[str, Any]:
    """A view as `--json` prints it."""
    return {
        "self": my_id,
        "complete": view.complete,
        "clock_error_bound_ms": clock_bound_ms,
        "instances": [_row(instance) for instance in view.instances],
    }


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "address": instance.address,
        "client_port": instance.client_port,
        "peer_port": instance.peer_port,
        "state": instance.state.value,
        "zone": instance.zone,
        "started_at": instance.started_at,
        "generation": instance.generation,
    }


def _show(
    view: View,
    my_id: str | None,
    clock_bound_ms: float | None,
    *,
    as_json: bool,
    indent: int | None,
) -> None:
    if as_json:
        click.echo(json.dumps(document(view, my_id, clock_bound_ms), indent=indent))
    else:
        _print(view, my_id, clock_bound_ms)


def _print(view: View, my_id: str | None, clock_bound_ms: float | None) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    names = ("", "instance", "address", "state", "zone", "started", "generation")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for instance in view.instances:
        table.add_row(
            "*" if instance.id == my_id else "",
            Text(instance.id),
            Text(instance.address),
            Text(instance.state, style=_STYLES[instance.state]),
            instance.zone or "",
            _started(instance.started_at),
            Text(instance.generation or ""),
        )
    console = Console(highlight=False)
    console.print(table)
    completeness = "complete" if view.complete else "incomplete: there may be more instances"
    console.print(f"{len(view.instances)} instances, * is this one; {completeness}", soft_wrap=True)
    if clock_bound_ms is not None:
        console.print(f"this machine's clock is off by at most {clock_bound_ms:g} ms")


def _started(seconds: float | None) -> str:
    if seconds is None:
        return ""
    started = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{started:%Y-%m-%d %H:%M:%S}Z"
