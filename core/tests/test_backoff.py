from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster import backoff


def test_delays_double_up_to_their_cap():
    longest = backoff.delays(0.1, 1.0, uniform=lambda _low, high: high)
    assert [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == list(islice(longest, 6))


@given(st.floats(0.001, 10), st.floats(0.001, 10))
def test_delays_are_jittered_over_the_upper_half(first_s, cap_s):
    assert all(0 < delay <= cap_s for delay in islice(backoff.delays(first_s, cap_s), 20))
