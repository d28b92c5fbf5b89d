import asyncio
import logging
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.discovery.merge import MergedDiscovery, merge
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState, View

RUNNING, STARTING, STOPPED, UNKNOWN = (
    InstanceState.RUNNING,
    InstanceState.STARTING,
    InstanceState.STOPPED,
    InstanceState.UNKNOWN,
)
A = Instance("a", "198.51.100.1", RUNNING)
B = Instance("b", "198.51.100.2")
C = Instance("c", "198.51.100.3")


class Platform:
    """A driver whose answers the test sets; views are watched through a queue."""

    def __init__(self, answer, *, me=A):
        self.answer = answer
        self.me = me
        self.reported = asyncio.Queue()
        self.closed = False
        self.watched = 0
        self.watch_began = asyncio.Event()

    async def identify(self):
        return self.me

    async def discover(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def watch(self):
        self.watched += 1
        self.watch_began.set()
        try:
            while True:
                report = await self.reported.get()
                if isinstance(report, Exception):
                    raise report
                if report is None:
                    return
                yield report
        finally:
            self.watched -= 1

    async def aclose(self):
        self.closed = True
        if isinstance(self.answer, Exception):
            raise self.answer


instances = st.builds(
    Instance,
    id=st.sampled_from("abcd"),
    address=st.sampled_from(["198.51.100.1", "198.51.100.2"]),
    state=st.sampled_from(InstanceState),
)
views = st.builds(
    View,
    st.lists(instances, unique_by=lambda i: i.id).map(
        lambda found: tuple(sorted(found, key=lambda i: i.id))
    ),
    st.booleans(),
)


@given(st.lists(views, max_size=4))
def test_a_merged_view_lists_each_id_once_sorted_and_nothing_else(given_views):
    merged = merge(given_views)

    expected = sorted({i.id for view in given_views for i in view.instances})
    assert expected == [instance.id for instance in merged.instances]


@given(st.lists(views, max_size=4))
def test_a_merged_view_is_complete_only_if_all_are(given_views):
    assert all(view.complete for view in given_views) == merge(given_views).complete


@given(st.lists(views, min_size=1, max_size=4))
def test_the_first_driver_that_lists_an_instance_gives_its_address(given_views):
    for instance in merge(given_views).instances:
        listed = [i for view in given_views for i in view.instances if i.id == instance.id]
        assert listed[0].address == instance.address


@given(views)
def test_merging_a_view_with_itself_changes_nothing(view):
    assert view == merge([view, view])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (UNKNOWN, STARTING, STARTING),
        (RUNNING, STARTING, RUNNING),
        (RUNNING, UNKNOWN, RUNNING),
        (STOPPED, RUNNING, STOPPED),
        (RUNNING, STOPPED, STOPPED),
        (UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)
def test_the_furthest_state_that_any_driver_saw_wins(first, second, expected):
    merged = merge(View((Instance("x", "h", state),)) for state in (first, second))

    assert (Instance("x", "h", expected),) == merged.instances


async def test_the_first_driver_identifies_this_process():
    merged = MergedDiscovery([Platform(View((A,)), me=A), Platform(View((B,)), me=B)])

    assert A == await merged.identify()


async def test_discover_merges_all_drivers():
    merged = MergedDiscovery([Platform(View((B,))), Platform(View((A, C)))])

    assert View((A, B, C), complete=True) == await merged.discover()


async def test_a_driver_that_does_not_answer_makes_the_view_incomplete():
    merged = MergedDiscovery([Platform(DiscoveryUnavailable("away")), Platform(View((A,)))])

    assert View((A,), complete=False) == await merged.discover()


async def test_a_driver_that_stays_away_is_logged_once_and_its_return_once(caplog):
    flaky = Platform(DiscoveryUnavailable("away"))
    merged = MergedDiscovery([flaky, Platform(View((A,)))])

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await merged.discover()
        flaky.answer = View((B,))
        await merged.discover()

    assert ["WARNING", "INFO"] == [record.levelname for record in caplog.records]


async def test_when_no_driver_answers_the_reasons_of_all_are_told():
    merged = MergedDiscovery(
        [Platform(DiscoveryUnavailable("no route")), Platform(DiscoveryUnavailable("throttled"))]
    )

    with pytest.raises(DiscoveryUnavailable, match=r"no route.*throttled"):
        await merged.discover()


async def test_a_driver_that_fails_for_good_is_not_papered_over():
    merged = MergedDiscovery([Platform(View((A,))), Platform(DiscoveryError("not on ECS"))])

    with pytest.raises(DiscoveryError, match="not on ECS"):
        await merged.discover()


def test_a_merge_of_no_drivers_is_refused():
    with pytest.raises(ValueError, match="at least one driver"):
        MergedDiscovery([])


async def test_watch_is_incomplete_until_every_driver_has_reported():
    first, second = Platform(None), Platform(None)
    async with aclosing(MergedDiscovery([first, second]).watch()) as merged:
        second.reported.put_nowait(View((B,)))
        assert View((B,), complete=False) == await anext(merged)

        first.reported.put_nowait(View((A,)))
        assert View((A, B), complete=True) == await anext(merged)


async def test_watch_yields_again_when_one_driver_sees_a_change():
    first, second = Platform(None), Platform(None)
    first.reported.put_nowait(View((A,)))
    second.reported.put_nowait(View((B,)))
    async with aclosing(MergedDiscovery([first, second]).watch()) as merged:
        seen = await anext(merged)
        while seen != View((A, B)):
            seen = await anext(merged)

        second.reported.put_nowait(View((B, C)))

        assert View((A, B, C)) == await anext(merged)


async def test_watch_does_not_repeat_a_view_that_merges_to_the_same():
    first, second = Platform(None), Platform(None)
    async with aclosing(MergedDiscovery([first, second]).watch()) as merged:
        first.reported.put_nowait(View((A,), complete=False))
        assert View((A,), complete=False) == await anext(merged)

        following = asyncio.ensure_future(anext(merged))
        second.reported.put_nowait(View((A,)))
        await asyncio.wait([following], timeout=0.02)
        second.reported.put_nowait(View((A, B)))

        assert View((A, B), complete=False) == await following


async def test_watch_ends_with_the_error_of_a_driver_that_failed_for_good():
    first, second = Platform(None), Platform(None)
    async with aclosing(MergedDiscovery([first, second]).watch()) as merged:
        second.reported.put_nowait(DiscoveryError("not on ECS"))

        with pytest.raises(DiscoveryError, match="not on ECS"):
            await anext(merged)
    assert [0, 0] == [first.watched, second.watched]


async def test_a_driver_whose_watch_ends_is_reported_as_a_bug():
    broken = Platform(None)
    async with aclosing(MergedDiscovery([broken]).watch()) as merged:
        broken.reported.put_nowait(None)

        with pytest.raises(DiscoveryError, match="the watch of Platform ended"):
            await anext(merged)


async def test_closing_the_watch_closes_the_drivers_watches():
    first, second = Platform(None), Platform(None)
    async with aclosing(MergedDiscovery([first, second]).watch()) as merged:
        first.reported.put_nowait(View((A,)))
        await anext(merged)
        assert [1, 1] == [first.watched, second.watched]

    assert [0, 0] == [first.watched, second.watched]


async def test_cancelling_a_waiting_consumer_closes_the_drivers_watches():
    platform = Platform(None)
    merged = MergedDiscovery([platform]).watch()
    consumer = asyncio.ensure_future(anext(merged))
    await platform.watch_began.wait()

    consumer.cancel()

    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert 0 == platform.watched


async def test_all_drivers_are_closed_even_if_one_fails_to():
    first, second = Platform(View((A,))), Platform(DiscoveryError("cannot close"))
    third = Platform(View((B,)))

    with pytest.raises(DiscoveryError, match="cannot close"):
        await MergedDiscovery([first, second, third]).aclose()

    assert [True, True, True] == [first.closed, second.closed, third.closed]
