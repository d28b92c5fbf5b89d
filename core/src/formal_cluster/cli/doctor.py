"""`formal-cluster doctor`: what is wrong with this installation and its settings, and the mend."""

from __future__ import annotations

import enum
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import click

from formal_cluster.cli.options import config_option, json_option
from formal_cluster.errors import ConfigError
from formal_cluster.hookspecs import FAMILIES
from formal_cluster.plugins import NoDriver, Plugin, PluginManager, PluginStatus
from formal_cluster.plugins.configured import chosen
from formal_cluster.plugins.entry_point import stevedore_cache_is_stale
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings

_TESTED_PYTHONS = ((3, 11), (3, 13))
_REGORUS = "gordon-to-regorus"


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined. `mend` is empty if all is well."""

    level: Level
    what: str
    mend: str = ""


@click.command()
@config_option
@json_option
def doctor(config: Path | None, *, as_json: bool) -> None:
    """Examine the installation and the settings.

    Each finding is ok, warn or fail and says what to do. Exit code 1: something fails.
    """
    findings = list(examine(config, os.environ))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    sys.exit(1 if any(finding.level is Level.FAIL for finding in findings) else 0)


def examine(config: Path | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that can be said without starting anything."""
    yield python_version(sys.version_info[:2])
    yield regorus(packages_distributions().get("regorus", []))
    try:
        settings = load_settings(config, environ)
    except ConfigError as error:
        mend = "correct it; `formal-cluster config schema` documents every setting"
        yield from (Finding(Level.FAIL, line, mend) for line in str(error).splitlines())
        yield Finding(Level.WARN, "plugins were not examined", "mend the settings first")
        return
    yield Finding(Level.OK, "the settings are valid")
    yield from _plugins(settings)
    if stevedore_cache_is_stale(family.group for family in FAMILIES.values()):
        yield Finding(
            Level.WARN,
            "stevedore's cache does not know the installed plugins; formal-cluster does not use "
            "it, other tools do",
            "delete the directory python-entrypoints in the user's cache directory, ~/.cache",
        )


def python_version(version: tuple[int, ...]) -> Finding:
    """Whether formal-cluster is tested on this version of Python."""
    what = f"Python {platform.python_version()}"
    oldest, newest = _TESTED_PYTHONS
    if oldest <= version <= newest:
        return Finding(Level.OK, what)
    tested = " to ".join(f"{major}.{minor}" for major, minor in _TESTED_PYTHONS)
    return Finding(Level.WARN, f"{what} is not tested", f"use Python {tested}")


def regorus(providers: Sequence[str]) -> Finding:
    """Whether the policy engine comes from the one distribution that it is tested with.

    Several distributions install a module `regorus`; the one installed last overwrites the others.
    """
    others = sorted(set(providers) - {_REGORUS})
    if not others and providers:
        return Finding(Level.OK, f"policies are evaluated by {_REGORUS}")
    if not others:
        mend = f"pip install --force-reinstall {_REGORUS}"
        return Finding(Level.FAIL, "the policy engine regorus is not installed", mend)
    return Finding(
        Level.FAIL,
        f"the module regorus is installed by {', '.join(sorted(set(providers)))}",
        f"pip uninstall {' '.join(others)}, then pip install --force-reinstall {_REGORUS}",
    )


def _plugins(settings: Settings) -> Iterator[Finding]:
    manager = PluginManager(settings)
    for line in manager.stray_tables():
        yield Finding(Level.FAIL, line, "correct the table's name or install the driver")
    for entry in manager.unknown_denials():
        mend = "correct the name or remove the entry"
        yield Finding(Level.WARN, f"plugins.deny: nothing installed answers to {entry!r}", mend)
    for family, drivers in chosen(settings).items():
        for driver in drivers:
            yield from _chosen_driver(settings, manager, family, driver)
    for plugin in manager.inventory():
        is_chosen = plugin.name in chosen(settings)[plugin.family]
        if not is_chosen or plugin.status is PluginStatus.SHADOWED:
            yield from _other_plugin(plugin)


def _chosen_driver(
    settings: Settings, manager: PluginManager, family: str, driver: str
) -> Iterator[Finding]:
    may_be_missing = family == "enrichment" and settings.enrichment.on_broken_plugin == "skip"
    try:
        plugin = manager.load(family, driver).plugin
        manager.driver_settings(family, driver)
    except NoDriver as error:
        level = Level.WARN if may_be_missing else Level.FAIL
        yield Finding(level, error.what, error.mend)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding(Level.FAIL, line, "correct the driver's table")
    else:
        yield Finding(
            Level.OK, f"{family} driver {driver!r} of {plugin.origin} loads; its settings are valid"
        )


def _other_plugin(plugin: Plugin) -> Iterator[Finding]:
    what = f"{plugin.family} driver {plugin.name!r} of {plugin.origin}: {plugin.detail}"
    if plugin.status is PluginStatus.DENIED:
        yield Finding(Level.OK, what)
    elif plugin.detail:
        yield Finding(Level.WARN, what, plugin.mend)


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    console = Console(highlight=False)
    for finding in findings:
        level = (f"{finding.level:5}", styles[finding.level])
        console.print(Text.assemble(level, finding.what), soft_wrap=True)
        if finding.mend:
            console.print(Text(f"      → {finding.mend}"), soft_wrap=True)
