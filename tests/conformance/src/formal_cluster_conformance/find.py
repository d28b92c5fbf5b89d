"""Finds a declaration by its name: an entry point, or `package.module:attribute`."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from formal_cluster.errors import ConfigError
from formal_cluster_conformance.declaration import ENTRY_POINTS, StoreDeclaration
from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration


def names() -> list[str]:
    """The names of all declarations that installed distributions bring."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})


def find(name: str) -> StoreDeclaration | DiscoveryDeclaration:
    """The declaration of this name.

    Raises:
        ConfigError: There is none, or it cannot be imported.
    """
    entries = list(entry_points(group=ENTRY_POINTS, name=name))
    if len(entries) > 1:
        owners = sorted(entry.dist.name if entry.dist else entry.value for entry in entries)
        raise ConfigError(f"several distributions declare {name!r}: {', '.join(owners)}")
    if not entries and ":" not in name:
        raise ConfigError(
            f"no installed distribution declares {name!r}; there are {', '.join(names())}. "
            "A declaration without an entry point is named as package.module:attribute"
        )
    target = entries[0].value if entries else name
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the declaration {target} cannot be used: {error}") from error
    if not isinstance(found, StoreDeclaration | DiscoveryDeclaration):
        raise ConfigError(f"{target} is {type(found).__name__}, no declaration")
    return found
