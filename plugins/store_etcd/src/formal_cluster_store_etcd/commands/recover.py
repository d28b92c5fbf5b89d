"""`formal-cluster recover`: an operator vouches that the instances that do not answer are dead.

Imported to show `formal-cluster --help`: what the command needs is imported when it runs.
"""

from __future__ import annotations

from pathlib import Path

import click

from formal_cluster.commands import CommandContext, config_option
from formal_cluster.errors import ConfigError


@click.command()
@click.option(
    "--i-know-the-others-are-dead",
    "others_are_dead",
    is_flag=True,
    help="Vouch that every instance that does not answer is dead and will not come back with the "
    "data it has.",
)
@config_option
def recover(config: Path | None, *, others_are_dead: bool) -> None:
    """Let the cluster go on without the instances that do not answer.

    For a cluster that has lost its majority for good on a platform that cannot say so. Run it where
    one of the instances that are left keeps its data, while that instance runs; it tells the
    others. The most advanced copy among all that answer is restored; writes that only the dead
    knew of are lost. If one of them is alive after all, there are two clusters until they meet.
    """
    from formal_cluster_store_etcd.member.requests import write_request
    from formal_cluster_store_etcd.settings import EtcdSettings

    if not others_are_dead:
        raise click.UsageError(
            "this may lose data and must be meant: give --i-know-the-others-are-dead. "
            "`formal-cluster status` says which instances are missed"
        )
    settings = CommandContext.load(config).driver_settings("store", "etcd")
    assert isinstance(settings, EtcdSettings)
    if not settings.data_dir.is_dir():
        raise ConfigError(
            f"store.etcd.data_dir {settings.data_dir} is not there: run this command where an "
            "instance keeps its data, with that instance's settings"
        )
    request = write_request(settings.data_dir)
    click.echo(
        f"wrote {request}. The instance takes it within seconds if its cluster has no quorum, and "
        "drops it if it has; `formal-cluster status` shows what happens."
    )
