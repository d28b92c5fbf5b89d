import asyncio

import pytest

from formal_cluster.discovery.clock_bound import ClockBound, clock_error_bound_ms, warning_about
from formal_cluster.discovery.merge import MergedDiscovery

TOLERATED_MS = 50


class Silent:
    """A driver of a platform that knows nothing of clocks."""


class Vouching:
    """A driver of one that does."""

    def __init__(self, bound_ms):
        self.clock_error_bound_ms = bound_ms


@pytest.mark.parametrize("bound_ms", [None, 0.0, 0.3, TOLERATED_MS])
def test_a_bound_that_is_tolerated_or_not_known_is_no_warning(bound_ms):
    assert warning_about(bound_ms, TOLERATED_MS) is None


def test_a_larger_one_is_with_what_it_costs_and_the_mend():
    warning = warning_about(50.5, TOLERATED_MS)

    assert "off by 50.5 ms, which is more than 50 ms" in warning
    assert "time synchronization" in warning


def test_a_driver_need_not_know():
    assert clock_error_bound_ms(Silent()) is None
    assert clock_error_bound_ms(MergedDiscovery([Silent(), Silent()])) is None


@pytest.mark.parametrize(
    ("drivers", "bound_ms"),
    [
        ([Vouching(7.0)], 7.0),
        ([Silent(), Vouching(7.0)], 7.0),
        ([Vouching(None), Vouching(7.0)], 7.0),
        ([Vouching(7.0), Vouching(3.0)], 3.0),
        ([Vouching(0.0), Vouching(3.0)], 0.0),
        ([Vouching(None)], None),
    ],
)
def test_of_several_drivers_the_one_that_knows_best_counts(drivers, bound_ms):
    assert bound_ms == clock_error_bound_ms(MergedDiscovery(drivers))


def test_it_is_logged_when_a_clock_goes_wrong_and_when_it_is_right_again(caplog):
    caplog.set_level("INFO")
    driver = Vouching(1.0)
    clock = ClockBound(driver, tolerated_ms=TOLERATED_MS)

    for driver.clock_error_bound_ms in (1.0, 80.0, 90.0, 2.0, 2.0):
        clock.read()

    expected = [("WARNING", "the clock may be wrong"), ("INFO", "the clock is right again")]
    assert expected == [(record.levelname, record.getMessage()) for record in caplog.records]
    assert "80 ms" in caplog.records[0].reason
    assert (2.0, None) == (clock.bound_ms, clock.warning)


async def test_it_is_read_at_once_and_followed():
    driver = Vouching(1.0)
    clock = ClockBound(driver, tolerated_ms=TOLERATED_MS)

    async with clock.reading():
        assert 1.0 == clock.bound_ms

        driver.clock_error_bound_ms = 80.0

        async with asyncio.timeout(50):
            while clock.bound_ms != 80.0:
                await asyncio.sleep(0.02)
        assert "80 ms" in clock.warning


async def test_a_driver_that_breaks_is_heard_of():
    class Breaking:
        reads = 0

        @property
        def clock_error_bound_ms(self):
            self.reads += 1
            if self.reads > 1:
                raise ZeroDivisionError
            return 1.0

    driver = Breaking()

    async def read_it_twice():
        async with asyncio.timeout(50), ClockBound(driver, tolerated_ms=TOLERATED_MS).reading():
            while driver.reads < 2:
                await asyncio.sleep(0.02)

    with pytest.raises(ZeroDivisionError):
        await read_it_twice()
