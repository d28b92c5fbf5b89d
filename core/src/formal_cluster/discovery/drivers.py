"""The discovery drivers in use, each built once and in their order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from formal_cluster.discovery.alone import Alone
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.protocols import Discovery
from formal_cluster.settings import Settings

_LOGGER = "formal_cluster.discovery"


def create_drivers(
    settings: Settings,
    names: Sequence[str],
    create: Callable[[str, DiscoveryContext], Discovery],
) -> list[Discovery]:
    """Build them; without any, the one that knows this process alone.

    Args:
        names: Those in use: the plugin manager's `discovery_drivers`.
        create: Builds the driver of a name: the plugin manager's `create_discovery`, which see for
            what it raises.
    """
    context = DiscoveryContext(settings.instance.id, logging.getLogger(_LOGGER))
    return [create(name, context) for name in names] or [Alone(settings.instance.id)]
