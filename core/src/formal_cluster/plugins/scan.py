"""Which plugins are installed, from the distributions' metadata alone: nothing is imported.

This reads `importlib.metadata` and not stevedore's scan because that one answers from a cache which
can be minutes old, loses the distribution that an entry point belongs to, and keeps one of two
equal names without saying which.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint, distributions

from formal_cluster.hookspecs import API_VERSION, FAMILIES, PROJECT
from formal_cluster.plugins.records import Plugin, PluginStatus

_GROUP = re.compile(rf"{PROJECT}\.(?P<family>[^.]+)(\.v(?P<version>\d+))?")
_SURELY_MISSPELT = 0.8
"""Similarity from which a group's unknown family counts as one of ours, misspelt."""


def installed() -> list[Plugin]:
    """Every plugin on the import path, sorted by family, name and distribution."""
    names = {distribution.name for distribution in distributions() if _is_ours(distribution)}
    found = [plugin for name in names if name for plugin in _plugins_of(name)]
    usable = {(p.id, p.origin) for p in found if p.status is not PluginStatus.INCOMPATIBLE}
    # A distribution may serve several API versions; then only its plugin for ours matters.
    found = [
        plugin
        for plugin in found
        if plugin.status is not PluginStatus.INCOMPATIBLE
        or (plugin.id, plugin.origin) not in usable
    ]
    families = list(FAMILIES)
    return sorted(found, key=lambda p: (families.index(p.family), p.name, p.distribution))


def _is_ours(distribution: Distribution) -> bool:
    return any(_GROUP.fullmatch(entry.group) for entry in distribution.entry_points)


def _plugins_of(name: str) -> Iterator[Plugin]:
    first: Distribution | None = None
    for copy in distributions(name=name):
        first = first or copy
        for entry_point in copy.entry_points:
            if (plugin := _plugin(entry_point, copy)) is not None:
                yield plugin if copy is first else _shadowed(plugin, copy, first)


def _plugin(entry_point: EntryPoint, distribution: Distribution) -> Plugin | None:
    match = _GROUP.fullmatch(entry_point.group)
    near = match and difflib.get_close_matches(match["family"], FAMILIES, 1, _SURELY_MISSPELT)
    if not match or not near:
        return None
    family = FAMILIES[near[0]]
    plugin = Plugin(
        family.name, entry_point.name, distribution.name, distribution.version, entry_point
    )
    if entry_point.group == family.group:
        return plugin
    if match["family"] == family.name and match["version"]:
        detail = f"it is made for hook API v{match['version']}; this core speaks v{API_VERSION}"
        is_newer = int(match["version"]) > API_VERSION
        mend = "upgrade formal-cluster" if is_newer else f"upgrade {plugin.distribution}"
    else:
        detail = f"there is no entry-point group {entry_point.group}"
        mend = f"its author renames the group to {family.group}"
    return replace(plugin, status=PluginStatus.INCOMPATIBLE, detail=detail, mend=mend)


def _shadowed(plugin: Plugin, copy: Distribution, first: Distribution) -> Plugin:
    return replace(
        plugin,
        status=PluginStatus.SHADOWED,
        detail=f"the copy in {copy.locate_file('')} is hidden by {first.version} in "
        f"{first.locate_file('')}",
        mend=f"uninstall {plugin.distribution} until no copy is left, then install it once",
    )
