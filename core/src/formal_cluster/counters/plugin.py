"""Entry point of the counters driver `log`: the replicated log of `formal_cluster.counters`."""

from __future__ import annotations

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.hookspecs import CountersContext, DriverSettings, hookimpl
from formal_cluster.protocols import Counters


@hookimpl
def counters_settings() -> type[DriverSettings]:
    """The settings class of `[counters.log]`."""
    return LogCountersSettings


@hookimpl
def create_counters(settings: LogCountersSettings, context: CountersContext) -> Counters:
    """Build the driver."""
    return LogCounters(settings, context)
