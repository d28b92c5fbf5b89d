"""Policies' thresholds set how many hits are kept one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from formal_cluster.cluster import Cluster
from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.exactness import MOST_EXACT, Exactness
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.records import Batch
from formal_cluster.counters.windows import SPANS_PER_WINDOW
from formal_cluster.model import CounterKey
from formal_cluster.protocols import ThresholdCounters

START, MINUTE = 1_700_000_000_000, 60_000
READS, WRITES = CounterKey("reads", ("alice",)), CounterKey("writes", ("alice",))


def doubtful(state: State, key: CounterKey) -> bool:
    """Whether a count is rounded whose window began within the key's older half."""
    hits = state.find(key)
    assert hits is not None
    begin = START + 5_005
    return any(hits.doubtful(begin + pause) for pause in range(MINUTE // SPANS_PER_WINDOW))


def fold(state: State, hits: int) -> None:
    """As many of both keys, 10 ms apart."""
    for number in range(hits):
        now = START + 10 * number
        batch = Batch(
            epoch=1, seq=number + 1, proposed=now, wall=now, keys=[READS, WRITES], strict=[[0, 1]]
        )
        state.apply(Record("x", batch, number + 1))


async def test_the_policies_in_force_tell_the_counters_their_thresholds(tmp_path: Path) -> None:
    policy = tmp_path / "p.rego"
    policy.write_text(
        "package formal.v2\nimport future.keywords.if\n"
        'pre_request := {"action": "block"} if input.bucket.access_count.last_minute > 500\n'
    )
    settings = {
        "instance": {"id": "a"},
        "store": {"driver": "memory"},
        "policy": {"paths": [str(policy)], "reload_seconds": 0.01},
    }
    async with Cluster.from_settings(settings) as cluster:
        counters = cluster.counters
        assert isinstance(counters, LogCounters)
        assert isinstance(counters, ThresholdCounters)
        more = counters._exactness.more  # as the counts show it only at hundreds of hits
        assert {"bucket.access_count": 501} == more
        policy.write_text(policy.read_text().replace("500", "200"))
        async with asyncio.timeout(30):
            while more != {"bucket.access_count": 201}:
                await asyncio.sleep(0.01)


def test_a_counter_is_exact_up_to_one_more_than_its_largest_threshold() -> None:
    exactness = Exactness(exact_entries=64)
    state = State(exact_entries=64, max_subjects=10, more_exact=exactness.more)
    exactness.use({"reads": 999})

    fold(state, 1_000)

    assert not doubtful(state, READS)
    assert doubtful(state, WRITES)


def test_a_new_policy_changes_how_exact_the_counters_are() -> None:
    exactness = Exactness(exact_entries=64)
    exactness.use({"reads": 999, "writes": 500})
    exactness.use({"writes": 600})

    assert {"writes": 601} == exactness.more


def test_a_threshold_never_makes_counts_less_exact_and_has_a_bound() -> None:
    exactness = Exactness(exact_entries=64)
    exactness.use({"few": 5, "just enough": 63, "one more": 64, "many": 1_000_000})

    assert {"one more": 65, "many": MOST_EXACT} == exactness.more
