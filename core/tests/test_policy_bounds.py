"""How far a count may be from the truth, as policies and callers see it."""

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import Count, Stage
from formal_cluster.policy import load_policies, plan
from formal_cluster.policy.bounds import MOST, upper_bound
from formal_cluster.settings import CounterSettings

DOCUMENT = {"user": {"id": "alice"}, "bucket": {"name": "b"}}


def policy_set(tmp_path, condition, **counter):
    path = tmp_path / "p.rego"
    path.write_text(f'package formal.v2\npre_request := {{"action": "block"}} if {condition}\n')
    return load_policies([path], [CounterSettings(name="access_count", **counter)])


def filled(policies, *counts, **how):
    touched = plan(DOCUMENT, Stage.PRE_REQUEST, policies.uses_at(Stage.PRE_REQUEST))
    return touched.fill([counts], **how)


def test_what_is_current_is_its_own_upper_bound():
    assert 3 == upper_bound(3, None, 0)
    assert 3 == upper_bound(3, (5,), 0)


def test_each_instance_not_heard_of_may_have_permitted_what_was_left():
    assert 3 + 2 * 3 == upper_bound(3, (5,), 2)
    assert 9 == upper_bound(9, (5,), 2)
    assert 3 + 98 == upper_bound(3, (5, 100), 1)


def test_without_a_known_limit_or_number_of_instances_the_bound_is_beyond_any_limit():
    assert [MOST] * 3 == [
        upper_bound(3, None, 1),
        upper_bound(3, (), 1),
        upper_bound(3, (5,), None),
    ]


@given(
    limit=st.integers(0, 20),
    held=st.integers(0, 25),
    permitted=st.lists(st.integers(0, 25), max_size=5),
)
def test_no_truth_is_above_the_upper_bound(limit, held, permitted):
    # Each of the others started from what is held here, and stopped at the limit.
    unheard = sum(min(hits, max(0, limit - held)) for hits in permitted)

    assert held + 1 + unheard <= upper_bound(held + 1, (limit,), len(permitted))


def test_a_limit_is_the_next_threshold_or_the_last_one(tmp_path):
    condition = "input.bucket.access_count.last_minute > [5, 100][_]"
    assert None is filled(policy_set(tmp_path, condition), Count(3))[1][0].limit

    policies = policy_set(
        tmp_path, "{ some n in [5, 100]; input.bucket.access_count.last_minute > n }"
    )
    readings = [filled(policies, Count(n))[1][0] for n in (0, 4, 5, 100)]
    assert [(5, 4), (5, 0), (100, 94), (100, 0)] == [(r.limit, r.remaining) for r in readings]


def test_the_bounds_are_in_the_input_only_if_a_policy_reads_them(tmp_path):
    plain = policy_set(tmp_path, "input.bucket.access_count.last_minute > 5")
    document, _ = filled(plain, Count(3))
    assert {"last_minute": 4} == document["bucket"]["access_count"]

    bounded = policy_set(tmp_path, "input.bucket.access_count.upper.last_minute > 5")
    document, (reading,) = filled(bounded, Count(3), unseen=2)
    assert {"last_minute": 4, "upper": {"last_minute": 8}} == document["bucket"]["access_count"]
    assert (4, 4, 8) == (reading.value, reading.lower, reading.upper)


def test_a_policy_that_compares_the_upper_bound_blocks_when_others_are_not_heard_of(tmp_path):
    policies = policy_set(tmp_path, "input.bucket.access_count.upper.last_minute > 5")

    def action(**how):
        document, _ = filled(policies, Count(3), **how)
        return policies.evaluate(Stage.PRE_REQUEST, document)[0].result

    assert None is action()
    assert {"action": "block"} == action(unseen=2)
    assert {"action": "block"} == action(unseen=None)
    assert None is action(unseen=None, in_log_order=True)


def test_the_lower_bound_leaves_out_what_may_have_left_the_window(tmp_path):
    policies = policy_set(tmp_path, "input.bucket.access_count.lower.last_minute > 5")
    document, (reading,) = filled(policies, Count(9, exact=False, doubtful=6))

    assert {"last_minute": 10, "lower": {"last_minute": 4}} == document["bucket"]["access_count"]
    assert (4, 10, 10, False) == (reading.lower, reading.value, reading.upper, reading.exact)


def test_a_counter_that_allows_while_the_state_is_away_has_zero_as_its_bounds_too(tmp_path):
    policies = policy_set(
        tmp_path, "input.bucket.access_count.upper.last_minute > 5", on_degraded="allow"
    )
    document, _ = filled(policies, Count(9), degraded=True, unseen=None)

    assert {"last_minute": 0, "upper": {"last_minute": 0}} == document["bucket"]["access_count"]
