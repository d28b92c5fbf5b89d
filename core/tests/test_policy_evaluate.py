"""Evaluation with the real engine: results, failures, hostile inputs, threads."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from formal_cluster.errors import InputError
from formal_cluster.model import PolicyOutcome, Stage
from formal_cluster.policy import load_policies
from formal_cluster.policy.rego import Engine, EnginePanicked, Module, encode_input, parse
from formal_cluster.policy.sources import Source
from formal_cluster.settings import DEFAULT_COUNTER

SEED = Path(__file__).parent / "data/policies/seed.rego"
PRE = Stage.PRE_REQUEST


@pytest.fixture
def load(tmp_path):
    def load_texts(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.rego").write_text(text)
        return load_policies([tmp_path], [DEFAULT_COUNTER])

    return load_texts


def policy(rest):
    return f"package formal.v2\n{rest}\n"


def bucket(count, name="sensitive-bucket"):
    return {"bucket": {"name": name, "access_count": {"last_minute": count}}}


@pytest.mark.parametrize(
    ("document", "result"),
    [
        (bucket(5), None),
        (bucket(6), {"action": "block", "type": "block_with_formal_message"}),
        (bucket(6, "other"), None),
        ({}, None),
    ],
)
def test_the_vendors_policy_blocks_above_five(document, result):
    policies = load_policies([SEED], [DEFAULT_COUNTER])

    assert (PolicyOutcome("seed.rego", result),) == policies.evaluate(PRE, document)
    assert () == policies.evaluate(Stage.SESSION, document)


def test_each_policy_is_evaluated_by_itself_with_the_libraries(load):
    policies = load(
        a=policy('pre_request := {"action": "allow", "n": data.lib.n}'),
        b=policy('pre_request := {"action": "mask", "n": data.lib.n}'),
        lib="package lib\nn := 1",
    )

    assert (
        PolicyOutcome("a.rego", {"action": "allow", "n": 1}),
        PolicyOutcome("b.rego", {"action": "mask", "n": 1}),
    ) == policies.evaluate(PRE, {})


def test_the_older_and_the_newer_name_of_a_stage_are_both_asked(load):
    policies = load(a=policy('pre_request := {"action": "allow"}\nrequest := {"action": "block"}'))

    assert ["allow", "block"] == [o.result["action"] for o in policies.evaluate(PRE, {})]


def test_a_policy_that_fails_does_not_keep_others_from_answering(load, tmp_path):
    policies = load(
        a=policy(
            'pre_request := {"action": "allow"} if input.x\n'
            'pre_request := {"action": "block"} if input.y'
        ),
        b=policy('pre_request := {"action": "allow"}'),
    )

    outcomes = policies.evaluate(PRE, {"x": 1, "y": 1})

    assert f"{tmp_path}/a.rego:3:1: rule conflicts with rule at {tmp_path}/a.rego:2:1" == (
        outcomes[0].error
    )
    assert PolicyOutcome("b.rego", {"action": "allow"}) == outcomes[1]
    assert [None, None] == [o.error for o in policies.evaluate(PRE, {"x": 1})]


def test_a_result_without_a_known_action_is_a_failure(load):
    policies = load(a=policy('pre_request := {"action": input.action}'))

    assert "unknown action 'nothing'" in policies.evaluate(PRE, {"action": "nothing"})[0].error
    assert policies.evaluate(PRE, {"action": "nothing"})[0].result is None


def nested(depth, kind):
    document = inner = {}
    for _ in range(depth):
        inner["x"] = {}
        inner = inner["x"]
    return document if kind is dict else {"x": [document]}


@pytest.mark.parametrize(
    ("bucket", "code"),
    [
        (object(), "input_not_json"),
        ("\ud800", "input_not_json"),
        ({("a",): 1}, "input_not_json"),
        (nested(100_000, dict), "input_not_json"),
        (nested(200, dict), "input_unreadable"),
    ],
    ids=["object", "lone surrogate", "tuple as key", "endlessly deep", "deep"],
)
def test_an_input_that_would_crash_the_engine_is_an_error(bucket, code):
    policies = load_policies([SEED], [DEFAULT_COUNTER])

    with pytest.raises(InputError) as error:
        policies.evaluate(PRE, {"bucket": bucket})

    assert code == error.value.code
    assert "backtrace" not in str(error.value)


def test_what_no_policy_reads_is_not_handed_to_the_engine(load):
    policies = load(
        a=policy('pre_request := {"action": "allow"} if input.n == 1'),
        b=policy('pre_request := {"action": "allow"} if input.m == 1'),
    )
    whole = load(a=policy('pre_request := {"action": "allow"} if count(input) == 2'))

    assert {"n", "m"} == policies.fields
    assert None is whole.fields
    assert {"action": "allow"} == policies.evaluate(PRE, {"n": 1, "other": object()})[0].result
    assert {"action": "allow"} == whole.evaluate(PRE, {"n": 1, "other": 2})[0].result


def test_large_integers_reach_the_policy_unharmed(load):
    policies = load(
        a=policy('pre_request := {"action": "allow"} if input.n == 18446744073709551615')
    )

    assert {"action": "allow"} == policies.evaluate(PRE, {"n": 2**64 - 1})[0].result


# ── threads ──────────────────────────────────────────────────────────────────────────────────


def test_eight_threads_decide_at_once_each_with_engines_of_its_own():
    policies = load_policies([SEED], [DEFAULT_COUNTER])
    start = threading.Barrier(8)

    def decide(thread):
        start.wait()
        return [
            policies.evaluate(PRE, bucket(count))[0].result is not None
            for count in range(thread, thread + 200)
        ]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(decide, range(8)))

    assert [[n > 5 for n in range(thread, thread + 200)] for thread in range(8)] == answers


def test_a_set_dropped_by_one_thread_leaves_the_engines_of_others_to_them(load):
    """The engine complains (an unraisable error, so a failure) when another thread frees it."""
    old = load_policies([SEED], [DEFAULT_COUNTER])
    with ThreadPoolExecutor(1) as thread:
        thread.submit(old.evaluate, PRE, bucket(6)).result()
        del old
        gc.collect()
        new = load_policies([SEED], [DEFAULT_COUNTER])
        outcomes = thread.submit(new.evaluate, PRE, bucket(6)).result()
        del new

    assert "block" == outcomes[0].result["action"]


def test_two_sets_in_one_thread_do_not_mix(load):
    policies = load(a=policy('pre_request := {"action": "mask"}'))
    seed = load_policies([SEED], [DEFAULT_COUNTER])

    for _ in range(3):
        assert "mask" == policies.evaluate(PRE, bucket(6))[0].result["action"]
        assert "block" == seed.evaluate(PRE, bucket(6))[0].result["action"]


def test_the_engines_panic_is_an_error_of_ours():
    module = parse(Source("p.rego", "p.rego", policy("x := 1")))
    assert isinstance(module, Module)
    engine = Engine([module])

    with ThreadPoolExecutor(1) as thread:
        error = thread.submit(engine.evaluate, "data.formal.v2.x", encode_input({})).exception()

    assert isinstance(error, EnginePanicked)
    assert str(error).startswith("the policy engine panicked: ")
    assert 1 == engine.evaluate("data.formal.v2.x", encode_input({}))
