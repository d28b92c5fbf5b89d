"""Every contestant of the benchmarks does what the benchmarks say it does."""

from __future__ import annotations

import itertools

import pytest
from benchmarks.contestant import Contestant, Limiter, Place
from benchmarks.contestants import CONTESTANTS
from benchmarks.stores import stores

pytestmark = [pytest.mark.etcd, pytest.mark.redis]

_spaces = itertools.count()


@pytest.fixture(scope="module")
def both_stores():
    with stores() as running:
        yield running


async def _admit(limiter: Limiter, subject: str, limit: int) -> bool:
    if limiter.now is not None:
        return limiter.now(subject, limit)
    return await limiter.later(subject, limit)


@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda contestant: contestant.name)
async def test_a_contestant_admits_as_many_as_the_limit_and_no_more(
    contestant: Contestant, both_stores
):
    place = Place(both_stores.redis.port, both_stores.etcd.port, f"test-{next(_spaces)}")
    async with contestant.open(place) as limiter:
        for limit in (5, 12):
            admitted = [await _admit(limiter, f"user{limit}", limit) for _ in range(15)]
            expected = [True] * (limit if contestant.limits else 15)
            assert expected + [False] * (15 - len(expected)) == admitted
