import asyncio
import logging
from contextlib import aclosing
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.discovery.polling import Backoff, jittered, poll
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, View

ONE = View((Instance("a", "198.51.100.1"),))
TWO = View((Instance("a", "198.51.100.1"), Instance("b", "198.51.100.2")))
AWAY = DiscoveryUnavailable("the platform is away")
BRIEF = Backoff(first=0.001, longest=0.002)
LOGGER = logging.getLogger("test.polling")


class Platform:
    """Answers reads from a script, then never again."""

    def __init__(self, *script):
        self._script = list(script)

    async def discover(self):
        if not self._script:
            await asyncio.Event().wait()
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def polled(*script, interval=0.0, backoff=BRIEF):
    return poll(
        Platform(*script).discover,
        source="scripted",
        interval=lambda: interval,
        logger=LOGGER,
        backoff=backoff,
        rng=Random(1),
    )


async def test_a_view_is_yielded_only_when_it_differs_from_the_one_before():
    async with aclosing(polled(ONE, ONE, TWO, TWO, ONE)) as views:
        assert [ONE, TWO, ONE] == [await anext(views) for _ in range(3)]


async def test_a_view_that_only_became_incomplete_is_a_change():
    partial = View(ONE.instances, complete=False)

    async with aclosing(polled(ONE, partial)) as views:
        assert [ONE, partial] == [await anext(views) for _ in range(2)]


async def test_a_failed_read_is_neither_yielded_nor_the_end():
    async with aclosing(polled(AWAY, AWAY, ONE, AWAY, TWO)) as views:
        assert [ONE, TWO] == [await anext(views) for _ in range(2)]


async def test_a_lasting_failure_is_logged_once_and_the_recovery_once(caplog):
    with caplog.at_level(logging.INFO, logger=LOGGER.name):
        async with aclosing(polled(AWAY, AWAY, AWAY, ONE, TWO, AWAY, AWAY, ONE)) as views:
            for _ in range(3):
                await anext(views)

    expected = ["WARNING", "INFO", "WARNING", "INFO"]
    assert expected == [record.levelname for record in caplog.records]
    assert "the platform is away" == caplog.records[0].reason


async def test_back_off_begins_anew_after_each_success():
    asked = []

    class Recorded(Backoff):
        def after(self, failures):
            asked.append(failures)
            return 0.0

    async with aclosing(
        polled(AWAY, AWAY, AWAY, ONE, AWAY, AWAY, TWO, backoff=Recorded())
    ) as views:
        for _ in range(2):
            await anext(views)

    expected = [1, 2, 3, 1, 2]
    assert expected == asked


async def test_a_failure_for_good_ends_the_watch():
    async with aclosing(polled(ONE, DiscoveryError("wrong platform"))) as views:
        await anext(views)

        with pytest.raises(DiscoveryError, match="wrong platform"):
            await anext(views)


async def test_the_interval_passes_between_two_reads():
    loop = asyncio.get_running_loop()
    async with aclosing(polled(ONE, TWO, interval=0.05)) as views:
        await anext(views)
        started = loop.time()
        await anext(views)

        assert 0.05 <= loop.time() - started


async def test_a_waiting_poll_can_be_cancelled():
    async with aclosing(polled(ONE, TWO, interval=3_600.0)) as views:
        await anext(views)
        waiting = asyncio.ensure_future(anext(views))
        await asyncio.wait([waiting], timeout=0.02)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting


@given(st.integers(1, 100_000))
def test_back_off_never_shrinks_and_never_passes_its_limit(failures):
    backoff = Backoff(first=1.0, longest=30.0)

    assert 1.0 <= backoff.after(failures) <= backoff.after(failures + 1) <= 30.0


def test_back_off_doubles_from_its_first_wait():
    backoff = Backoff(first=1.0, longest=30.0)

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 30.0] == [backoff.after(n) for n in range(1, 7)]


@given(st.floats(0, 1e6), st.integers())
def test_jitter_lengthens_a_wait_by_at_most_a_tenth(seconds, seed):
    assert seconds <= jittered(seconds, Random(seed)) <= seconds * 1.1


def test_two_instances_do_not_wait_equally_long():
    assert jittered(10.0, Random(1)) != jittered(10.0, Random(2))
