"""Load the settings of a process: defaults, below the file, below the environment."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from formal_cluster.errors import ConfigError
from formal_cluster.hookspecs import FAMILIES
from formal_cluster.settings import Settings
from formal_cluster.settings_file.check import problem, validated
from formal_cluster.settings_file.contradictions import contradictions
from formal_cluster.settings_file.env import (
    FILE_VARIABLE,
    Variable,
    as_spelt,
    nearest_variable,
    overlay,
    variables,
)
from formal_cluster.settings_file.keys import DRIVER_TABLES, all_keys
from formal_cluster.settings_file.sources import Sources

_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)\Z")


class _LoadedSettings(Settings):
    """Settings that know where they came from, for later messages about a driver's table."""

    _sources: Sources = PrivateAttr(default_factory=Sources)


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The effective settings.

    Args:
        path: The TOML file. None: the one that `FORMAL_CLUSTER_CONFIG` names, if any.
        environ: The process's environment.

    Raises:
        ConfigError: The file cannot be read, or settings are wrong; one line per problem.
    """
    if path is None and environ.get(FILE_VARIABLE):
        path = Path(environ[FILE_VARIABLE])
    text = "" if path is None else _read(path)
    content = {} if path is None else _parse(text, path)
    overriding, problems = _override(content, environ)
    sources = Sources(path, text, {variable.path: variable for variable in overriding})
    return _checked(content, sources, problems)


def settings_from(content: Mapping[str, Any]) -> Settings:
    """The settings that a file with this content would give.

    Raises:
        ConfigError: They are wrong; one line per problem.
    """
    return _checked(copy.deepcopy(dict(content)), Sources(), [])


def sources_of(settings: Settings) -> Sources:
    """Where the settings came from; nowhere in particular if they were built in Python."""
    if isinstance(settings, _LoadedSettings):
        return settings._sources  # noqa: SLF001  as above
    return Sources()


def _checked(content: dict[str, Any], sources: Sources, problems: list[str]) -> Settings:
    for section in FAMILIES:
        if _table(content, section).pop(DRIVER_TABLES, None) is not None:
            complaint = f"unknown key; a driver's settings are written below [{section}.<driver>]"
            problems.append(problem((section, DRIVER_TABLES), complaint, sources))
    try:
        settings = validated(_LoadedSettings, content, (), sources)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    problems += contradictions(settings, sources)
    if problems:
        raise ConfigError("\n".join(problems))
    settings._sources = sources  # noqa: SLF001  the class above is this module's own
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such settings file; name it with --config or {FILE_VARIABLE}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: the settings file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the settings file is not UTF-8: {error}") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _POSITION.search(message)
        last_line = text.count("\n") + 1
        position = f"{at[1]}:{at[2]}" if at else f"{last_line}:1"
        raise ConfigError(
            f"{path}:{position}: not valid TOML: {_POSITION.sub('', message)}"
        ) from None
    except RecursionError:
        raise ConfigError(f"{path}: arrays or tables are nested too deeply to be read") from None


def _override(
    content: dict[str, Any], environ: Mapping[str, str]
) -> tuple[list[Variable], list[str]]:
    """Lay the environment over `content`; the variables, spelt as the keys are, and problems."""
    overriding, problems = [], []
    for variable in variables(environ):
        if variable.path[0] not in Settings.model_fields:
            near = nearest_variable(variable, all_keys(Settings))
            hint = f"did you mean {near}?" if near else "see `formal-cluster config schema`"
            problems.append(f"{variable.name}: no such setting; {hint}")
            continue
        spelt = replace(variable, path=_spelling(variable.path, content))
        overriding.append(spelt)
        if complaint := overlay(content, spelt):
            problems.append(f"{variable.name}: {complaint}")
    return overriding, problems


def _spelling(path: tuple[str, ...], content: Mapping[str, Any]) -> tuple[str, ...]:
    """The path with its driver spelt as the driver is: `redis-test` for the variable's REDIS_TEST.

    Drivers are known from the file's tables and from those chosen so far.
    """
    if path[0] not in FAMILIES or len(path) == 1:
        return path
    section = _table(content, path[0])
    drivers = section.get("drivers")
    chosen = [section.get("driver"), *(drivers if isinstance(drivers, list) else [])]
    names = [*section, *(name for name in chosen if isinstance(name, str))]
    return (path[0], as_spelt(path[1], names), *path[2:])


def _table(content: Mapping[str, Any], section: str) -> dict[str, Any]:
    table = content.get(section)
    return table if isinstance(table, dict) else {}
