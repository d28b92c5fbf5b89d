"""Find, check and load plugins: from entry points to drivers.

    scan.py        every plugin that is installed, from metadata alone
    selection.py   denied ones and clashes put aside; the one that a driver's name means
    loading.py     import it, check it, register it, call its hooks (pluggy)
    entry_point.py load one entry point (stevedore)
    checks.py      the rules of `hookspecs`, and those of the Protocols
    configured.py  what the settings say about drivers
    manager.py     all of it together, for one process
    commands.py    subcommands of `formal-cluster` that plugins bring

Nothing is imported before it is known to be wanted, allowed, unambiguous and of the right API
version. A plugin that breaks is named with its distribution and harms nobody who did not choose it.
stevedore is used for the loading step only, and why so thinly is said in `entry_point.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from formal_cluster.plugins.manager import PluginManager
    from formal_cluster.plugins.records import NoDriver, Plugin, PluginStatus, UnusablePlugin

__all__ = ["NoDriver", "Plugin", "PluginManager", "PluginStatus", "UnusablePlugin"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: `formal-cluster --help` needs `commands` alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from formal_cluster.plugins import manager, records

    return getattr(manager if name == "PluginManager" else records, name)
