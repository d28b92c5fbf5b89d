"""`formal-cluster snapshot`: all of the shared state in a file, and back.

Imported to show `formal-cluster --help`: what the commands need is imported when they run.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from formal_cluster.commands import CommandContext, config_option, json_option
from formal_cluster.errors import ConfigError

if TYPE_CHECKING:
    from formal_cluster_store_etcd.settings import EtcdSettings
    from formal_cluster_store_etcd.urls import Endpoint


@click.group()
def snapshot() -> None:
    """Save the shared state to a file, or found a new cluster from one."""


@snapshot.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@click.option(
    "--endpoint",
    metavar="HOST:PORT",
    help="The etcd to ask. Default: this instance's own, as the settings say.",
)
@json_option
def save(file: Path, config: Path | None, endpoint: str | None, *, as_json: bool) -> None:
    """Save all keys of the running cluster to FILE, which is replaced when it is complete.

    Every change up to the revision printed is in the file; later ones may be.
    """
    from formal_cluster_store_etcd.commands.snapshot_file import save_to
    from formal_cluster_store_etcd.tls.credentials import load

    context = CommandContext.load(config)
    settings = _settings(context)
    tls = None if settings.tls is None else load(settings.tls, own_address=None).material
    made = asyncio.run(save_to(file, lambda: _endpoint(context, settings, endpoint), tls))
    if as_json:
        click.echo(json.dumps({"file": str(file), **asdict(made)}))
    else:
        click.echo(f"{file}: revision {made.revision}, {made.size} bytes, sha256 {made.sha256}")


@snapshot.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@json_option
def restore(file: Path, config: Path | None, *, as_json: bool) -> None:
    """Make this instance the founder of a new cluster that begins with the keys in FILE.

    This instance must be stopped. Data that it has is set aside, not deleted.
    """
    from formal_cluster_store_etcd.member.restore_snapshot import restore_snapshot

    context = CommandContext.load(config)
    settings = _settings(context)

    async def run() -> dict[str, object]:
        instance = await context.identify()
        made = await restore_snapshot(file, settings, instance)
        return {**asdict(made), "data_dir": str(made.data_dir), "instance": instance.id}

    made = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(made))
        return
    click.echo(
        f"restored {file} into {made['data_dir']}: instance {made['instance']} founds a new "
        f"cluster, epoch {made['epoch']}, when it is started.\n"
        "Now:\n"
        "  1. stop all other instances, and move their data directories away: what they hold is "
        "of another cluster;\n"
        "  2. start this instance, and wait until `formal-cluster status` shows it clustered;\n"
        "  3. start the others: they join it and copy its data.\n"
        "Revisions go on from the snapshot's: restart every other program that remembers them."
    )


def _settings(context: CommandContext) -> EtcdSettings:
    from formal_cluster_store_etcd.settings import EtcdSettings

    settings = context.driver_settings("store", "etcd")
    assert isinstance(settings, EtcdSettings)
    return settings


async def _endpoint(context: CommandContext, settings: EtcdSettings, given: str | None) -> Endpoint:
    from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

    if given is not None:
        try:
            return endpoint_of(given if "://" in given else f"http://{given}")
        except ValueError as error:
            raise ConfigError(f"--endpoint {given!r} is not HOST:PORT") from error
    if settings.endpoints:
        return endpoint_of(settings.endpoints[0])
    instance = await context.identify()
    return Endpoint(
        settings.listen_address or instance.address, instance.client_port or settings.client_port
    )
