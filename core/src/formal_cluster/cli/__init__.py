"""The command `formal-cluster`.

Only the chosen subcommand is imported, so that `--help` and completion answer at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from formal_cluster.errors import ConfigError, FormalClusterError, PluginError, PolicyLoadError


class _Subcommand(NamedTuple):
    """Where a command is, and the extra that installs it when core does not bring it."""

    target: str
    help: str
    extra: str | None = None


SUBCOMMANDS: Mapping[str, _Subcommand] = {
    "serve": _Subcommand(
        "formal_cluster.cli.serve:serve",
        "Run one instance: its state server and the HTTP decision API.",
    ),
    "demo": _Subcommand(
        "formal_cluster_demo.cli:demo",
        "Three clustered S3 proxies limit one user together; one is killed and comes back.",
        extra="demo",
    ),
    "status": _Subcommand(
        "formal_cluster.cli.status:status", "Show the cluster as one running instance sees it."
    ),
    "discover": _Subcommand(
        "formal_cluster.cli.discover:discover",
        "Show the instances that the configured discovery drivers see.",
    ),
    "policy": _Subcommand("formal_cluster.cli.policy:policy", "Check and explain Rego policies."),
    "plugins": _Subcommand(
        "formal_cluster.cli.plugins:plugins", "List the installed plugins and how far each got."
    ),
    "doctor": _Subcommand(
        "formal_cluster.cli.doctor:doctor", "Examine the installation and the settings."
    ),
    "config": _Subcommand(
        "formal_cluster.cli.config:config", "Show the effective settings, or their JSON Schema."
    ),
}

_EXIT_RUNTIME, _EXIT_CONFIGURATION = 1, 2
_CONFIGURATION_ERRORS = (ConfigError, PluginError, PolicyLoadError)


class _Group(click.Group):
    """Imports a subcommand when it is called, and ends our errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(SUBCOMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        entry = SUBCOMMANDS[cmd_name]
        module, _, attribute = entry.target.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if entry.extra is None or error.name != module.partition(".")[0]:
                raise
            raise ConfigError(
                f"{cmd_name!r} is not installed; pip install 'formal-cluster[{entry.extra}]'"
            ) from None
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in SUBCOMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FormalClusterError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            is_configuration = isinstance(error, _CONFIGURATION_ERRORS)
            ctx.exit(_EXIT_CONFIGURATION if is_configuration else _EXIT_RUNTIME)


@click.group(cls=_Group)
@click.version_option(package_name="formal-cluster")
def main() -> None:
    """Instances of one proxy find each other, form a cluster and share rate limits.

    Exit codes: 2 when the command line, the settings, a plugin or a policy is wrong; 1 when
    something fails while it runs.
    """
