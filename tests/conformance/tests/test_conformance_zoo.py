"""Every wrong driver of the zoo is caught by the rule that names its fault; the right ones by none.

Some faults are races, which a run may happen to miss: here each has three runs to be caught in.
`make conformance-zoo` tells how often of twenty it is.
"""

import pytest

from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration
from formal_cluster_conformance.results import Status
from formal_cluster_conformance.rules import Profile
from formal_cluster_conformance.running import run
from formal_cluster_conformance.zoo import wrong_discovery
from formal_cluster_conformance.zoo.calibrate import DISCOVERIES, KINDS, catch
from formal_cluster_conformance.zoo.healthy import Healthy, declare

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_a_wrong_driver_is_caught_by_the_rule_that_names_its_fault(kind):
    said = {}
    for seed in (1, 2, 3):
        caught = await catch(kind, [seed])
        if caught.caught:
            return
        said |= caught.otherwise
    pytest.fail(f"not caught by {caught.rule}: {said}")


def test_there_are_enough_wrong_drivers():
    assert len(DISCOVERIES) >= 6
    assert len(KINDS) - len(DISCOVERIES) >= 15


@pytest.mark.parametrize(
    "declaration",
    [declare(Healthy, 5), wrong_discovery.declare(wrong_discovery.HealthyDiscovery)],
    ids=lambda declaration: declaration.name,
)
async def test_a_right_driver_is_failed_by_no_rule(declaration):
    is_discovery = isinstance(declaration, DiscoveryDeclaration)
    # Counters and faults on the healthy store are long; the zoo's own runs are about them.
    profile = Profile.DISCOVERY if is_discovery else Profile.STATE

    results = await run(declaration, profiles=[profile], seed=5, quick=True)

    assert [] == [(o.rule.id, o.detail) for o in results.outcomes if o.status is not Status.PASSED]
