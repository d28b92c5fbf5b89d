"""The discovery drivers that the settings choose, each built once and in their order."""

from __future__ import annotations

import logging
from collections.abc import Callable

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.protocols import Discovery
from formal_cluster.settings import Settings

_LOGGER = "formal_cluster.discovery"


def create_drivers(
    settings: Settings, create: Callable[[str, DiscoveryContext], Discovery]
) -> list[Discovery]:
    """Build them.

    Args:
        create: Builds the driver of a name: the plugin manager's `create_discovery`, which see for
            what it raises.
    """
    context = DiscoveryContext(settings.instance.id, logging.getLogger(_LOGGER))
    return [create(name, context) for name in settings.discovery.drivers]
