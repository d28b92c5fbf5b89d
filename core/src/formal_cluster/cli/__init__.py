"""The command `formal-cluster`.

Of core's subcommands only the chosen one is imported, so that `--help` and completion answer at
once. Those that plugins bring (`plugins.commands`) come after them; one that cannot be used says so
in `--help`, and when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from formal_cluster.errors import ConfigError, FormalClusterError, PluginError, PolicyLoadError
from formal_cluster.plugins.commands import installed_commands, load_command, origins


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
    "policy": _Subcommand(
        "formal_cluster.cli.policy:policy", "Check, explain and test Rego policies."
    ),
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

_WIDEST = 1_000
"""Help of plugins' commands is not shortened: it may be the reason why one cannot be used."""
_EXIT_RUNTIME, _EXIT_CONFIGURATION = 1, 2
_CONFIGURATION_ERRORS = (ConfigError, PluginError, PolicyLoadError)


class _Group(click.Group):
    """Imports a subcommand when it is called, and ends our errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return [*SUBCOMMANDS, *(n for n in installed_commands() if n not in SUBCOMMANDS)]

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name in SUBCOMMANDS:
            return _own(cmd_name)
        return _of_plugin(cmd_name) if cmd_name in installed_commands() else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in SUBCOMMANDS.items()])
        if names := installed_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl(
                    [(name, _of_plugin(name).get_short_help_str(_WIDEST)) for name in names]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FormalClusterError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            is_configuration = isinstance(error, _CONFIGURATION_ERRORS)
            ctx.exit(_EXIT_CONFIGURATION if is_configuration else _EXIT_RUNTIME)


def _own(name: str) -> click.Command:
    entry = SUBCOMMANDS[name]
    module, _, attribute = entry.target.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if entry.extra is None or error.name != module.partition(".")[0]:
            raise
        raise ConfigError(
            f"{name!r} is not installed; pip install 'formal-cluster[{entry.extra}]'"
        ) from None
    assert isinstance(command, click.Command)
    return command


def _of_plugin(name: str) -> click.Command:
    """A plugin's command, or a stand-in for a broken one that says so wherever it is used."""
    if name in SUBCOMMANDS:
        return _broken(
            name, PluginError(f"{name!r} of {origins(name)} is hidden by formal-cluster's own")
        )
    try:
        return load_command(name)
    except PluginError as error:
        return _broken(name, error)


def _broken(name: str, error: PluginError) -> click.Command:
    def fail(**_: object) -> None:
        raise error

    return click.Command(
        name,
        callback=fail,
        params=[click.Argument(["anything"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        short_help=str(error),
    )


@click.group(cls=_Group)
@click.version_option(package_name="formal-cluster")
def main() -> None:
    """Instances of one proxy find each other, form a cluster and share rate limits.

    Exit codes: 2 when the command line, the settings, a plugin or a policy is wrong; 1 when
    something fails while it runs.
    """
