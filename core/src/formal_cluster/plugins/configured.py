"""What the settings say about drivers: which are chosen, and each one's table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formal_cluster.plugins.records import Plugin
from formal_cluster.plugins.selection import how_to_get
from formal_cluster.settings import DriverTables, Settings
from formal_cluster.settings_file.check import problem
from formal_cluster.settings_file.sources import Sources


def chosen(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """The names of the chosen drivers, in order, by family."""
    return {
        "discovery": settings.discovery.drivers,
        "store": (settings.store.driver,),
        "counters": (settings.counters.driver,),
        "enrichment": settings.enrichment.drivers,
    }


def names_discovery(settings: Settings) -> bool:
    """Whether the operator has said anything about discovery."""
    return bool(settings.discovery.model_fields_set)


def table(settings: Settings, family: str, name: str) -> Mapping[str, Any]:
    """A driver's table as it was read; empty if there is none."""
    return _tables(settings)[family].get(name, {})


def stray_tables(settings: Settings, plugins: Sequence[Plugin], sources: Sources) -> list[str]:
    """Tables of drivers that are neither installed nor chosen, each as a sentence."""
    return [
        problem(
            (family, name),
            f"{name!r} is neither chosen nor an installed driver; "
            f"{how_to_get(plugins, family, name)}",
            sources,
        )
        for family, tables in _tables(settings).items()
        for name in tables
        if name not in chosen(settings)[family]
        and not any((plugin.family, plugin.name) == (family, name) for plugin in plugins)
    ]


def _tables(settings: Settings) -> Mapping[str, DriverTables]:
    return {
        "discovery": settings.discovery.options,
        "store": settings.store.options,
        "counters": settings.counters.options,
        "enrichment": settings.enrichment.options,
    }
