"""How the parts' conditions add up to one cluster state."""

from dataclasses import replace

import pytest

from formal_cluster.model import (
    Capability,
    ClusterState,
    CountersStatus,
    Instance,
    Member,
    Role,
    StoreState,
    StoreStatus,
)
from formal_cluster.server.health import describe
from formal_cluster.status import ClusterStatus, assess, peers, unreachable, unseen

SHARED = frozenset({Capability.SHARED})
SERVING = StoreStatus(StoreState.SERVING, stale_ms=10)
CURRENT = CountersStatus(
    caught_up=True, stale_ms=10, revision=5, log_time_ms=1, subjects=0, pending=0
)
UNSETTLED = replace(CURRENT, unsettled="strict decisions wait")
READING = CountersStatus(
    caught_up=False, stale_ms=None, revision=0, log_time_ms=None, subjects=0, pending=0
)
OLD = CountersStatus(
    caught_up=True, stale_ms=9_000, revision=5, log_time_ms=1, subjects=0, pending=0
)


@pytest.mark.parametrize(
    ("store", "counters", "capabilities", "state", "reason"),
    [
        (SERVING, CURRENT, SHARED, ClusterState.CLUSTERED, None),
        (SERVING, CURRENT, frozenset(), ClusterState.STANDALONE, "not shared"),
        (SERVING, READING, SHARED, ClusterState.DEGRADED, "being read"),
        (SERVING, OLD, SHARED, ClusterState.DEGRADED, "9000 ms old"),
        (SERVING, UNSETTLED, SHARED, ClusterState.DEGRADED, "strict decisions wait"),
        (
            StoreStatus(StoreState.NO_QUORUM, stale_ms=3_000, last_error="no leader"),
            CURRENT,
            SHARED,
            ClusterState.DEGRADED,
            "no leader",
        ),
        (
            StoreStatus(StoreState.FAILED, last_error="data_dir is not writable"),
            READING,
            SHARED,
            ClusterState.STANDALONE,
            "data_dir is not writable",
        ),
        (StoreStatus(StoreState.STARTING), READING, SHARED, ClusterState.STANDALONE, "starting"),
    ],
)
def test_the_state_follows_from_store_and_counters_and_says_why(
    store: StoreStatus,
    counters: CountersStatus,
    capabilities: frozenset[Capability],
    state: ClusterState,
    reason: str | None,
) -> None:
    cut_off = unreachable(store, counters, max_stale_ms=5_000)
    seen, why = assess(store, cut_off, capabilities, counters.unsettled)
    assert state == seen
    if reason is None:
        assert why is None
    else:
        assert why is not None
        assert reason in why


def test_peers_are_the_other_members_not_known_to_be_unhealthy() -> None:
    store = StoreStatus(
        StoreState.SERVING,
        members=(
            Member("a", "10.0.0.1", Role.VOTER, healthy=True),
            Member("b", "10.0.0.2", Role.VOTER, healthy=True),
            Member("c", "10.0.0.3", Role.LEARNER, healthy=None),
            Member("d", "10.0.0.4", Role.VOTER, healthy=False),
        ),
    )
    assert 2 == peers(Instance("a", "10.0.0.1"), store)


def test_warnings_of_the_store_are_shown_beside_its_state() -> None:
    store = StoreStatus(StoreState.SERVING, warnings=("the certificate expires in 3 days",))
    me = Instance("a", "10.0.0.1")
    status = ClusterStatus(me, ClusterState.CLUSTERED, None, True, store, CURRENT)
    assert ("the certificate expires in 3 days",) == describe(status)["store"]["warnings"]


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        (replace(CURRENT, writers=3), 0),
        (replace(OLD, writers=3), 2),
        (replace(OLD, writers=0), 1),
        (READING, None),
    ],
)
def test_instances_are_unseen_while_the_counts_are_not_current(
    counters: CountersStatus, expected: int | None
) -> None:
    members = tuple(Member(name, "10.0.0.1", Role.VOTER, healthy=True) for name in ("a", "b"))
    status = ClusterStatus(
        Instance("a", "10.0.0.1"),
        ClusterState.DEGRADED,
        None,
        False,
        replace(SERVING, members=members),
        counters,
    )
    assert expected == unseen(status, current_within_ms=2_000)
