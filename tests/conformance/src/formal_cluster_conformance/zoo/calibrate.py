"""How often is each wrong driver caught by the rule that names its fault?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from formal_cluster_conformance.counters.instances import MAKER
from formal_cluster_conformance.declaration import StoreDeclaration
from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration
from formal_cluster_conformance.results import Status
from formal_cluster_conformance.rules import catalogue
from formal_cluster_conformance.running import run_of
from formal_cluster_conformance.zoo import (
    wrong_discovery,
    wrong_failover,
    wrong_keys,
    wrong_watches,
)
from formal_cluster_conformance.zoo.healthy import Healthy, declare
from formal_cluster_conformance.zoo.wrong_counters import KINDS as COUNTERS
from formal_cluster_conformance.zoo.wrong_counters import Simple

STORES: tuple[type[Healthy], ...] = (
    *wrong_keys.KINDS,
    *wrong_watches.KINDS,
    *wrong_failover.KINDS,
)
DISCOVERIES = wrong_discovery.KINDS
KINDS: tuple[type, ...] = (*STORES, *COUNTERS, *DISCOVERIES)


@dataclass
class Catch:
    """What became of one wrong driver.

    Attributes:
        caught: Seeds with which the rule failed it.
        otherwise: What the rule said with the other seeds.
    """

    name: str
    fault: str
    rule: str
    caught: list[int] = field(default_factory=list)
    otherwise: dict[int, str] = field(default_factory=dict)


async def catch(kind: type, seeds: Iterable[int]) -> Catch:
    """Try the rule that names the fault, with each seed."""
    rule_id: str = kind.__dict__["caught_by"]
    rule = next(rule for rule in catalogue() if rule.id == rule_id)
    catch = Catch(kind.__name__, (kind.__doc__ or "").strip(), rule_id)
    for seed in seeds:
        run = run_of(_declaration(kind, seed), seed=seed, quick=True)
        if issubclass(kind, Simple):
            run.shared[MAKER] = kind
        try:
            outcome = await run.attempt(rule)
        finally:
            await run.close()
        if outcome.status is Status.FAILED:
            catch.caught.append(seed)
        else:
            catch.otherwise[seed] = f"{outcome.status} {outcome.detail}"
    return catch


def _declaration(kind: type, seed: int) -> StoreDeclaration | DiscoveryDeclaration:
    if issubclass(kind, wrong_discovery.HealthyDiscovery):
        return wrong_discovery.declare(kind)
    return declare(kind if issubclass(kind, Healthy) else Healthy, seed)
