"""What waits for the log: it counts locally until it is there, once, and stays bounded."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.load import MAX_RECORDS, Load
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.pacing import batch_interval_s, retries_s
from formal_cluster.counters.records import encode
from formal_cluster.counters.windows import BASE_RESOLUTION, Resolution
from formal_cluster.errors import CountersUnavailable
from formal_cluster.model import CounterKey, CounterRead, Window

MINUTE = 60_000


def key(name: str = "a") -> CounterKey:
    return CounterKey("reads", (name,))


def make(max_pending: int = 100_000) -> Outbox:
    return Outbox(max_pending=max_pending, exact_entries=8)


def resolution(_: str) -> Resolution:
    return BASE_RESOLUTION


def permit(outbox: Outbox, name: str, at: int) -> None:
    subject = outbox.pending.get(key(name)) or outbox.admit(key(name))
    subject.open += 1
    outbox.permit(subject, at, BASE_RESOLUTION)


def local(outbox: Outbox, name: str, now: int) -> int:
    pending = outbox.pending.get(key(name))
    return pending.count(now - MINUTE) if pending else 0


def hits(load: Load) -> list[tuple[str, int, int]]:
    names = [key.subject[0] for key in load.keys]
    return [(names[index], count, at) for index, count, at in load.hits]


def take(outbox: Outbox, at: int = 0) -> Load:
    load = outbox.take(epoch=1, seq=1, folded=_future())
    while outbox.take_more(load):
        pass
    load.at = at
    return load


def settle(outbox: Outbox, load: Load) -> None:
    outbox.settle(load.pending)
    outbox.under_way = None


def _future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


def _strict(name: str = "a") -> StrictHit:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return StrictHit([CounterRead(key(name), (Window.parse("last_minute"),))], 0.0, done)


async def test_a_hit_counts_in_every_stage_and_is_gone_once_settled() -> None:
    outbox = make()
    subject = outbox.admit(key())
    subject.open += 1
    assert local(outbox, "a", 1_000) == 1
    outbox.permit(subject, 1_000, BASE_RESOLUTION)
    assert local(outbox, "a", 1_000) == 1
    load = take(outbox)
    assert local(outbox, "a", 1_000) == 1
    assert outbox.hits == 1

    settle(outbox, load)

    assert local(outbox, "a", 1_000) == 0
    assert outbox.pending == {}
    assert outbox.hits == 0


async def test_hits_made_while_a_batch_is_under_way_stay_when_it_settles() -> None:
    outbox = make()
    permit(outbox, "a", 1_000)
    load = take(outbox)
    permit(outbox, "a", 1_001)

    settle(outbox, load)

    assert local(outbox, "a", 1_001) == 1
    assert hits(take(outbox)) == [("a", 1, 1_001)]


async def test_what_was_not_applied_is_sent_again_with_its_times() -> None:
    outbox = make()
    permit(outbox, "a", 1_000)
    outbox.refund(key(), 77)
    outbox.ask("reads", MINUTE)
    waiting = _strict()
    outbox.place(waiting)
    load = take(outbox, at=2_000)
    permit(outbox, "a", 3_000)

    outbox.give_back(load, resolution)
    again = take(outbox, at=4_000)

    assert hits(again) == [("a", 1, 1_000), ("a", 1, 3_000)]
    assert again.refunds == [(again.keys.index(key()), 1, 77)]
    assert again.windows == [("reads", MINUTE)]
    assert again.strict == [waiting]
    assert outbox.hits == 2


async def test_a_denied_attempt_writes_nothing() -> None:
    outbox = make()
    subject = outbox.admit(key())
    subject.open += 1

    outbox.withdraw(subject)

    assert outbox.empty
    assert outbox.pending == {}


async def test_a_strict_attempt_given_up_before_it_was_sent_is_not_sent() -> None:
    outbox = make()
    waiting = _strict()
    outbox.place(waiting)
    waiting.done.cancel()

    assert take(outbox).strict == []


async def test_a_backlog_is_merged_and_expires() -> None:
    outbox = make()
    for at in range(0, 200_000, 7):
        permit(outbox, "a", at)

    assert len(take(outbox).hits) < 250

    permit(outbox, "b", 200_000)
    outbox.tidy(200_000 + MINUTE, resolution, looks=10)
    assert local(outbox, "b", 200_000 + MINUTE) == 0
    assert key("b") not in outbox.pending


async def test_a_large_backlog_is_split_into_batches_that_stores_take() -> None:
    outbox = make()
    for number in range(2 * MAX_RECORDS):
        permit(outbox, f"subject-{number}-" + "\N{GRINNING FACE}" * 40, 1_000)
    batches = []
    while not outbox.empty:
        load = take(outbox, at=1_000)
        batches.append(load.batch(proposed=1_000, now=1_000, wall=1_000))
        settle(outbox, load)

    assert sum(len(batch.hits) for batch in batches) == 2 * MAX_RECORDS
    assert max(len(encode(batch)) for batch in batches) < 768 * 1024
    assert len(batches) > 2


async def test_strict_attempts_are_not_kept_waiting_by_a_backlog() -> None:
    outbox = make()
    for number in range(2 * MAX_RECORDS):
        permit(outbox, str(number), 1_000)
    waiting = _strict()
    outbox.place(waiting)

    assert take(outbox).strict == [waiting]


async def test_subjects_beyond_max_pending_are_refused_and_known_ones_are_not() -> None:
    outbox = make(max_pending=2)
    permit(outbox, "a", 1)
    permit(outbox, "b", 1)

    with pytest.raises(CountersUnavailable, match="max_pending"):
        outbox.admit(key("c"))
    permit(outbox, "a", 2)

    assert local(outbox, "a", 2) == 2


@pytest.mark.parametrize(
    ("writers", "strict", "expected"),
    [(1, False, 0.01), (3, False, 0.01), (100, False, 0.2), (3, True, 0.00018), (100, True, 0.2)],
)
def test_batches_share_the_clusters_write_budget(
    writers: int, strict: bool, expected: float
) -> None:
    interval = batch_interval_s(
        writers=writers, flush_interval_s=0.01, write_budget=500, strict=strict
    )
    assert interval == pytest.approx(expected)


def test_retries_double_up_to_two_seconds() -> None:
    assert [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == pytest.approx(
        list(itertools.islice(retries_s(lambda: 0.0), 8))
    )
