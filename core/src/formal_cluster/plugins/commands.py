"""Commands that plugins add to `formal-cluster`.

An entry point of the group names a `click.Command`; its name is the subcommand:

    [project.entry-points."formal_cluster.commands.v1"]
    snapshot = "my_package.commands.snapshot:snapshot"

`formal_cluster.commands` is what it may use of core.

Which commands there are is known from metadata alone, but `formal-cluster --help` imports each
module to show its help; so a module imports what its command needs when the command runs, not
before. There are no hooks: click calls the command, nothing else does. `plugins.deny` does not
cover it, because which settings are read is the command's own choice.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

import click

from formal_cluster.errors import PluginError
from formal_cluster.plugins.entry_point import Unloadable, load

GROUP: Final = "formal_cluster.commands.v1"


def installed_commands() -> list[str]:
    """The names of all commands that plugins bring, sorted; nothing is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_command(name: str) -> click.Command:
    """Import one of `installed_commands`.

    Raises:
        PluginError: It cannot be imported, is no command, or several distributions claim its name.
    """
    entry, *others = entry_points(group=GROUP, name=name)
    if others:
        raise PluginError(
            f"several distributions bring a command {name!r}: {origins(name)}; uninstall all but "
            "one of them"
        )
    distribution = entry.dist.name if entry.dist is not None else entry.module
    to_its_authors = f"upgrade {distribution} or report this to its authors"
    try:
        command = load(entry, distribution)
    except Unloadable as error:
        raise PluginError(
            f"command {name!r} of {origins(name)} cannot be used: {error.detail}; "
            f"{error.mend or to_its_authors}"
        ) from error
    if not isinstance(command, click.Command):
        raise PluginError(
            f"command {name!r} of {origins(name)} cannot be used: {entry.value} is no "
            f"click.Command; {to_its_authors}"
        )
    return command


def origins(name: str) -> str:
    """The distributions that bring a command, with their versions."""
    return ", ".join(sorted(_origin(entry) for entry in entry_points(group=GROUP, name=name)))


def _origin(entry: EntryPoint) -> str:
    return entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
