"""When a pod that vanished is dead, and when nobody can know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s.departures import (
    Departed,
    Finding,
    conclude,
    depart,
    look_failed,
)
from formal_cluster_discovery_k8s.nodes import Readiness, readiness_of, zone_of
from formal_cluster_discovery_k8s.peers import Peer

MARGIN = 60.0
GRACE = 30.0
READY = Readiness("node-uid", "2026-11-01T00:00:00Z")
LATER = Readiness("node-uid", "2026-11-01T00:05:00Z")
RUNNING, STOPPED, UNKNOWN = InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.UNKNOWN
PEER = Peer("uid-1", "connector-0", RUNNING, ("10.0.0.1",), node="node-1", grace_s=GRACE)


def look(at: float, *, pod: InstanceState | None = None, node: Readiness | None = None) -> Finding:
    return Finding(pod, node, began=at, ended=at + 0.1)


def after(*findings: Finding | float) -> Departed:
    """A peer that vanished at 0 and was looked at so; a number is when a look failed."""
    departed = depart(PEER, 0.0)
    for finding in findings:
        if isinstance(finding, float):
            departed = look_failed(departed, finding, MARGIN)
        else:
            departed = conclude(departed, finding, MARGIN)
    return departed


def test_a_pod_that_was_seen_to_stop_before_it_vanished_is_stopped_and_not_looked_at():
    departed = depart(Peer("uid-1", "connector-0", STOPPED, ("10.0.0.1",)), 0.0)
    assert (STOPPED, None) == (departed.peer.state, departed.look_at)


def test_a_pod_that_vanished_is_unknown_and_looked_at_at_once():
    departed = depart(PEER, 7.0)
    assert (UNKNOWN, 7.0) == (departed.peer.state, departed.look_at)


def test_it_is_dead_when_its_node_stayed_ready_for_the_grace_period_and_the_margin():
    enough = look(0.1 + GRACE + MARGIN, node=READY)
    assert STOPPED is after(look(0.0, node=READY), enough).peer.state
    assert after(look(0.0, node=READY), enough).look_at is None


@pytest.mark.parametrize(
    "findings",
    [
        (look(0, node=READY),),
        (look(0, node=READY), look(GRACE + MARGIN, node=READY)),
        (look(0, node=None), look(1_000, node=None)),
        (look(0, node=READY), look(1_000, node=None)),
        (look(0, node=READY), look(1_000, node=LATER)),
        (look(0, node=READY), look(50, node=None), look(1_000, node=READY)),
        (look(0, node=READY), look(50, node=LATER), look(1_000, node=READY)),
        (look(0, node=READY), 50.0, look(1_000, node=READY)),
        (look(0, node=READY), look(1_000, node=Readiness("other", READY.since))),
        (look(0, pod=RUNNING), look(1_000, pod=RUNNING)),
        (look(0, node=READY), look(1_000, pod=RUNNING, node=READY)),
    ],
    ids=[
        "one read",
        "not long enough",
        "the node is not ready",
        "the node was lost",
        "the node was away in between",
        "the node was seen to be away in between",
        "the node went and came",
        "a read failed in between",
        "another machine has the node's name",
        "the pod only left the list",
        "the pod came back",
    ],
)
def test_it_is_unknown_as_long_as_anything_is_missing(findings):
    assert UNKNOWN is after(*findings).peer.state


def test_a_pod_that_left_the_list_is_dead_when_its_own_object_says_so():
    assert STOPPED is after(look(0.0, pod=RUNNING), look(9.0, pod=STOPPED)).peer.state


def test_a_node_that_comes_back_begins_a_new_count():
    departed = after(look(0.0, node=READY), look(50.0), look(100.0, node=LATER))
    assert UNKNOWN is departed.peer.state
    assert STOPPED is conclude(departed, look(200.0, node=LATER), MARGIN).peer.state


def test_it_is_looked_at_less_and_less_often_but_never_rarer_than_every_five_minutes():
    pauses = []
    departed = after()
    for _ in range(40):
        now = departed.look_at
        departed = look_failed(departed, now, MARGIN)
        pauses.append(departed.look_at - now)
    assert sorted(pauses) == pauses
    assert (MARGIN / 4, 300.0) == (pauses[0], pauses[-1])


FINDINGS = st.one_of(
    st.none(),
    st.builds(
        lambda pod, node: (pod, node),
        st.sampled_from([None, None, None, RUNNING, UNKNOWN]),
        st.sampled_from([None, READY, READY, READY, LATER]),
    ),
)


@given(st.lists(st.tuples(st.floats(0.1, 200), FINDINGS), max_size=12))
def test_death_is_never_concluded_without_an_unbroken_stretch_of_proof(looks):
    departed, now = depart(PEER, 0.0), 0.0
    proof_since: float | None = None
    stretch: Readiness | None = None
    for pause, finding in looks:
        now += pause
        if departed.look_at is None:
            break
        if finding is None:
            departed = look_failed(departed, now, MARGIN)
            proof_since = stretch = None
            continue
        pod, node = finding
        if pod is not None or node is None or node != stretch:
            stretch = node if pod is None else None
            proof_since = now if stretch is not None else None
        departed = conclude(departed, Finding(pod, node, began=now, ended=now), MARGIN)
        proven = proof_since is not None and now - proof_since >= GRACE + MARGIN
        assert proven is (departed.peer.state is STOPPED)


def node(status: str, **more: str) -> dict[str, object]:
    ready = {"type": "Ready", "status": status, **more}
    pressure = {"type": "MemoryPressure", "status": "True"}
    return {"metadata": {"uid": "n"}, "status": {"conditions": [pressure, ready]}}


def test_a_node_says_since_when_it_is_ready():
    ready = node("True", lastTransitionTime="2026-11-01T00:00:00Z")
    assert Readiness("n", "2026-11-01T00:00:00Z") == readiness_of(ready)


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_that_is_not_known_to_be_ready_is_not(status):
    assert readiness_of(node(status)) is None
    assert readiness_of({"metadata": {"uid": "new"}}) is None


def test_a_node_that_does_not_say_since_when_it_is_ready_proves_nothing():
    assert readiness_of(node("True")) is None


def test_a_node_tells_its_zone():
    labels = {"topology.kubernetes.io/zone": "eu-1a"}
    assert "eu-1a" == zone_of({"metadata": {"labels": labels}})
    assert zone_of({"metadata": {}}) is None
