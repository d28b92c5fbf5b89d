"""Find, check and load plugins: from entry points to drivers.

    scan.py        every plugin that is installed, from metadata alone
    selection.py   denied ones and clashes put aside; the one that a driver's name means
    loading.py     import it, check it, register it, call its hooks (pluggy, stevedore)
    checks.py      the rules of `hookspecs`, and those of the Protocols
    configured.py  what the settings say about drivers
    manager.py     all of it together, for one process

Nothing is imported before it is known to be wanted, allowed, unambiguous and of the right API
version. A plugin that breaks is named with its distribution and harms nobody who did not choose it.
stevedore is used for the loading step only, and why so thinly is said in `loading.py`.
"""

from formal_cluster.plugins.manager import PluginManager
from formal_cluster.plugins.records import NoDriver, Plugin, PluginStatus, UnusablePlugin

__all__ = ["NoDriver", "Plugin", "PluginManager", "PluginStatus", "UnusablePlugin"]
