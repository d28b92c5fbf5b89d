"""The planners under test: the real ones, unless a test plants a bug."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from formal_cluster_store_etcd.planning import (
    changes,
    formation,
    leaving,
    membership,
    steps,
    transitions,
    vigil,
)
from formal_cluster_store_etcd.planning.identity import Identity


@dataclass(frozen=True)
class Planners:
    """What decides. Each is a pure function of an observation."""

    formation: Callable[[steps.Observation, steps.Rules], steps.Step] = formation.plan
    identity_after: Callable[[steps.Step, Identity], Identity] = transitions.identity_after
    vigil: Callable[[steps.Observation, float, steps.Rules], vigil.KeepRunning | vigil.StopEtcd] = (
        vigil.plan
    )
    membership: Callable[[changes.Observation], changes.Change | changes.Wait] = membership.plan
    leaving: Callable[[leaving.Farewell], leaving.Farewells] = leaving.plan
