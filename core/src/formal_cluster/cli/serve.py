"""`formal-cluster serve`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="FORMAL_CLUSTER_CONFIG",
    help="The configuration file (TOML).",
)
def serve(config: Path | None) -> None:
    """Run one instance: its state server and the HTTP decision API."""
    from formal_cluster.logs import configure_logging
    from formal_cluster.server.run import serve as run
    from formal_cluster.settings_file import load_settings

    settings = load_settings(config, os.environ)
    configure_logging(settings.log)
    asyncio.run(run(settings))
