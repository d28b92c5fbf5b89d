"""Discovery's views as the supervisor trusts them, and the journal of what it decides."""

from __future__ import annotations

import logging

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_store_etcd.peers.views import Views

A, B = Instance("a", "10.0.0.1"), Instance("b", "10.0.0.2")


class Discovery:
    """Gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: View | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def discover(self) -> View:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def views_of(*answers) -> tuple[Views, Discovery, Clock]:
    discovery, clock = Discovery(*answers), Clock()
    return Views(discovery, "a", logging.getLogger("test"), clock=clock), discovery, clock


async def test_discovery_is_asked_every_two_seconds_at_most():
    views, discovery, clock = views_of(View((A, B)))
    for _ in range(3):
        assert View((A, B)) == await views.latest()
    assert 1 == discovery.asked
    clock.now += 2
    await views.latest()
    assert 2 == discovery.asked


@pytest.mark.parametrize(
    "failure",
    [DiscoveryUnavailable("no answer"), DiscoveryError("for good"), View(()), View((B,))],
)
async def test_a_view_that_fails_or_does_not_name_this_instance_is_none(failure):
    views, _, clock = views_of(View((A, B)), failure)
    await views.latest()
    clock.now += 2
    assert await views.latest() is None


async def test_stability_begins_anew_when_other_instances_are_named():
    stopped = Instance("b", "10.0.0.2", InstanceState.STOPPED)
    views, _, clock = views_of(View((A,)), View((A, stopped)), View((A, B)))
    await views.latest()
    clock.now += 2
    await views.latest()
    assert 2 == views.stable_s
    clock.now += 2
    await views.latest()
    assert 0 == views.stable_s
