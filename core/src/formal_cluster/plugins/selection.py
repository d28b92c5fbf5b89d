"""Which of the installed plugins may be used, and which one a driver's name means. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from formal_cluster.plugins.records import NoDriver, Plugin, PluginStatus, UnusablePlugin

EXTRAS = {"discovery": ("ecs", "k8s"), "store": ("etcd", "redis-test")}
"""Drivers that formal-cluster's own extras install; the extra is named like the driver."""


def sifted(plugins: Sequence[Plugin], deny: Sequence[str]) -> list[Plugin]:
    """The plugins, those that are denied or claim a name that another one claims marked so."""
    decided = [_denied(plugin) if _is_denied(plugin, deny) else plugin for plugin in plugins]
    claims = Counter(p.id for p in decided if p.status is PluginStatus.AVAILABLE)
    return [
        _clashing(plugin, decided)
        if plugin.status is PluginStatus.AVAILABLE and claims[plugin.id] > 1
        else plugin
        for plugin in decided
    ]


def unknown_denials(plugins: Sequence[Plugin], deny: Sequence[str]) -> list[str]:
    """Entries of `plugins.deny` that no installed plugin answers to."""
    return [entry for entry in deny if not any(_is_denied(plugin, [entry]) for plugin in plugins)]


def pick(plugins: Sequence[Plugin], family: str, name: str) -> Plugin:
    """The one plugin that may serve as the driver.

    Raises:
        NoDriver: There is none. The message says which plugins stand against it, or what is
            there instead and how the driver is installed.
    """
    named = [plugin for plugin in plugins if (plugin.family, plugin.name) == (family, name)]
    usable = [plugin for plugin in named if plugin.status is PluginStatus.AVAILABLE]
    if usable:
        return usable[0]
    if named:
        # A hidden copy is the reason only if there is no other: something must have hidden it.
        raise UnusablePlugin(min(named, key=lambda p: p.status is PluginStatus.SHADOWED))
    raise NoDriver(
        f"no plugin provides the {family} driver {name!r}", how_to_get(plugins, family, name)
    )


def how_to_get(plugins: Sequence[Plugin], family: str, name: str) -> str:
    """What to do about a driver that is not installed: install it, or mean another one."""
    extras = EXTRAS.get(family, ())
    if name in extras:
        return f"install it with: pip install 'formal-cluster[{name}]'"
    available = [
        p.name for p in plugins if (p.family, p.status) == (family, PluginStatus.AVAILABLE)
    ]
    near = difflib.get_close_matches(name, [*available, *extras], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}available: {', '.join(available) or 'none'}"


def _is_denied(plugin: Plugin, deny: Sequence[str]) -> bool:
    return plugin.name in deny or plugin.id in deny


def _denied(plugin: Plugin) -> Plugin:
    return replace(
        plugin,
        status=PluginStatus.DENIED,
        detail="plugins.deny names it",
        mend="take it from plugins.deny to use it",
    )


def _clashing(plugin: Plugin, plugins: Sequence[Plugin]) -> Plugin:
    rivals = sorted(rival.origin for rival in plugins if rival.id == plugin.id)
    return replace(
        plugin,
        status=PluginStatus.CLASH,
        detail=f"several distributions claim the name: {', '.join(rivals)}",
        mend="uninstall all but one of them",
    )
