"""Precedence of the outcomes of several policies."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import PolicyOutcome
from formal_cluster.policy import merge
from formal_cluster.policy.merge import ACTIONS, result_error


def said(action, policy="p.rego", **fields):
    return PolicyOutcome(policy, {"action": action, **fields})


SILENT = PolicyOutcome("s.rego", None)
FAILED = PolicyOutcome("f.rego", None, "f.rego:3:1: it broke")

results = st.builds(said, st.sampled_from(ACTIONS), st.sampled_from("abc"), n=st.integers())
outcomes = st.lists(results | st.just(SILENT) | st.just(FAILED), max_size=6)


def test_nobody_with_anything_to_say_is_no_result():
    assert (None, None) == merge([], "block")
    assert (None, None) == merge([SILENT, SILENT], "block")


@pytest.mark.parametrize("pair", list(itertools.combinations(ACTIONS, 2)), ids="-".join)
def test_the_stronger_action_wins_in_either_order(pair):
    stronger, weaker = said(pair[0]), said(pair[1])

    assert (stronger.result, None) == merge([stronger, weaker], "block")
    assert (stronger.result, None) == merge([weaker, stronger], "block")


@pytest.mark.parametrize("action", ACTIONS)
def test_among_equals_the_first_policy_wins(action):
    first, second = said(action, n=1), said(action, n=2)

    assert first.result == merge([SILENT, first, second], "block")[0]


def test_the_smallest_filter_limit_wins_and_one_without_comes_last():
    unlimited, ten, two = said("filter"), said("filter", limit=10), said("filter", limit=2)

    assert two.result == merge([unlimited, ten, two], "block")[0]
    assert ten.result == merge([unlimited, ten, said("filter", limit="x")], "block")[0]


def test_a_failed_policy_is_a_block_that_says_why():
    reason = "policy failed: f.rego: f.rego:3:1: it broke"

    result, said_why = merge([said("allow"), FAILED], "block")

    assert {"action": "block", "type": "block_with_formal_message", "reason": reason} == result
    assert reason == said_why


def test_a_failed_policy_can_be_ignored_but_not_silently():
    allow = said("allow")

    assert (
        allow.result,
        "policy failed and was ignored: f.rego: f.rego:3:1: it broke",
    ) == merge([FAILED, allow], "allow")


def test_a_policys_own_block_goes_before_a_failure():
    block = said("block", message="no")

    assert (block.result, None) == merge([FAILED, block], "block")


@given(outcomes, st.randoms(), st.sampled_from(["block", "allow"]))
def test_whether_it_is_a_block_does_not_depend_on_the_order(some, random, on_error):
    shuffled = random.sample(some, len(some))

    def blocks(order):
        result, _ = merge(order, on_error)
        return result is not None and result["action"] == "block"

    assert blocks(some) == blocks(shuffled)


@given(outcomes)
def test_a_block_or_a_failure_is_never_let_through(some):
    result, _ = merge(some, "block")

    denied = any(o.error or (o.result and o.result["action"] == "block") for o in some)
    assert denied == (result is not None and result["action"] == "block")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"action": "allow"}, None),
        (True, "the rule must give an object with an action, not True"),
        (["block"], "the rule must give an object with an action, not ['block']"),
        ({}, f'the object needs an "action", one of {", ".join(ACTIONS)}'),
        ({"action": 1}, f'the object needs an "action", one of {", ".join(ACTIONS)}'),
        ({"action": "blok"}, "unknown action 'blok'; did you mean block?"),
        ({"action": "notify"}, f"unknown action 'notify'; use one of {', '.join(ACTIONS)}"),
    ],
)
def test_a_result_that_nobody_could_carry_out_is_an_error(result, message):
    assert message == result_error(result)
