"""All scenarios, in the order of the report."""

from __future__ import annotations

from formal_cluster_failover.scenario import Scenario
from formal_cluster_failover.scenarios import (
    cold_start,
    kills,
    majority,
    partitions,
    restarts,
    scaling,
    troubles,
)

ALL: tuple[Scenario, ...] = tuple(
    scenario
    for module in (cold_start, kills, majority, partitions, scaling, restarts, troubles)
    for scenario in module.SCENARIOS
)
BY_NAME = {scenario.name: scenario for scenario in ALL}
