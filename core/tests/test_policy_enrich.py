"""Which counters a request touches, for whom, and the input with their values."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import InputError
from formal_cluster.model import Count, CounterKey, Grade, OnDegraded, Stage, Window
from formal_cluster.policy import plan
from formal_cluster.policy.analyse import CounterUse
from formal_cluster.settings import CounterSettings

PRE, POST = Stage.PRE_REQUEST, Stage.POST_REQUEST
MINUTE, HOUR = Window.parse("last_minute"), Window.parse("last_hour")
ALICE = {"id": "alice"}


def use(entity="bucket", *, windows=(MINUTE,), explicit=True, **counter):
    settings = CounterSettings(**{"name": "access_count", **counter})
    return CounterUse(entity, settings, windows, explicit, frozenset({PRE}), ())


def keys(document, *uses, stage=PRE):
    return [touch.read.key for touch in plan(document, stage, uses).counted]


def error(document, *uses):
    with pytest.raises(InputError) as raised:
        plan(document, PRE, uses or [use()])
    return raised.value.code, str(raised.value)


# ── subjects ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"id": "u1", "username": "al", "email": "a@b"}, "u1"),
        ({"username": "al", "email": "a@b"}, "al"),
        ({"email": "a@b"}, "a@b"),
        ({"id": 17}, "17"),
        ({"id": None, "username": "al"}, "al"),
        ({"id": "", "username": "al"}, "al"),
        ({"id": True, "username": "al"}, "al"),
    ],
)
def test_the_user_is_its_id_else_username_else_email(user, expected):
    document = {"user": user, "bucket": {"name": "b"}}

    assert [CounterKey("bucket.access_count", (expected, "b"))] == keys(document, use())


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [({"id": 3, "name": "b"}, "3"), ({"name": "b"}, "b"), ("b", "b"), (3, "3")],
)
def test_the_entity_is_its_id_else_name_else_itself(bucket, expected):
    document = {"user": ALICE, "bucket": bucket}

    assert [CounterKey("bucket.access_count", ("alice", expected))] == keys(document, use())


def test_entities_of_the_same_name_are_counted_apart():
    document = {"user": ALICE, "bucket": {"name": "x"}, "table": {"name": "x"}}

    assert 2 == len(set(keys(document, use("bucket"), use("table"))))


def test_a_subject_may_be_any_path_of_the_input():
    counted = use(subject=("input.resource.id", "session.client.ip"))
    document = {"resource": {"id": 7}, "session": {"client": {"ip": "::1"}}, "bucket": {}}

    assert [("7", "::1")] == [key.subject for key in keys(document, counted)]


def test_a_counter_of_the_user_knows_a_user_without_id():
    document = {"user": {"email": "a@b"}}

    assert [("a@b", "a@b")] == [key.subject for key in keys(document, use("user"))]


@pytest.mark.parametrize("user", [None, {}, {"id": ""}, {"name": "alice"}, "alice", ["alice"]])
def test_nobody_to_count_for_is_an_error_and_lets_nobody_through(user):
    code, message = error({"user": user, "bucket": {"name": "b"}})

    assert "missing_user" == code
    assert (
        "input.bucket.access_count is counted for a user, and the input has none of user.id, "
        "user.username and user.email; pass one, as a non-empty string or a whole number"
    ) == message


@pytest.mark.parametrize("bucket", [{}, {"name": ""}, {"name": ["b"]}, True, 1.5, ""])
def test_an_entity_that_cannot_be_told_from_others_is_an_error(bucket):
    code, message = error({"user": ALICE, "bucket": bucket})

    assert "missing_entity" == code
    assert "input.bucket cannot be told from others" in message


def test_a_list_of_entities_is_an_error():
    code, message = error({"user": ALICE, "bucket": [{"name": "b"}]})

    assert "entity_is_a_list" == code
    assert "ask for a decision for each of them" in message


@pytest.mark.parametrize("resource", [None, {}, {"id": {"x": 1}}, "r", ["r"]])
def test_a_missing_part_of_the_subject_is_an_error(resource):
    counted = use(subject=("user", "resource.id"))

    code, message = error({"user": ALICE, "bucket": {}, "resource": resource}, counted)

    assert "missing_subject" == code
    assert "is counted by input.resource.id, which is missing" in message


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_an_input_that_is_no_object_is_an_error(document):
    assert "input_not_an_object" == error(document)[0]


# ── what is touched ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("document", [{}, {"table": {"name": "t"}}, {"bucket": None}])
def test_a_counter_is_left_alone_when_its_entity_is_not_there(document):
    touched = plan(document, PRE, [use()])

    assert ([], [], None) == (touched.hits, touched.looks, touched.grade)
    assert (document, ()) == touched.fill([])


@pytest.mark.parametrize("bucket", ["b", ["b"], {"size": 3}, 1.5])
def test_an_entity_merely_within_reach_is_left_alone_unless_it_has_a_name(bucket):
    document = {"user": ALICE, "bucket": bucket}

    assert (document, ()) == plan(document, PRE, [use(explicit=False)]).fill([])


def test_an_entity_merely_within_reach_is_counted_when_it_has_a_name():
    document = {"user": ALICE, "bucket": {"name": "b"}}

    assert 1 == len(keys(document, use(explicit=False)))
    assert "missing_user" == error({"bucket": {"name": "b"}}, use(explicit=False))[0]


def test_a_counter_is_a_hit_at_its_stages_and_looked_at_elsewhere():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    uses = [use(stages=("request",)), use(name="rows", stages=("response",))]

    before, after = plan(document, PRE, uses), plan(document, POST, uses)

    assert ["bucket.access_count"] == [read.key.counter for read in before.hits]
    assert ["bucket.rows"] == [read.key.counter for read in before.looks]
    assert ["bucket.rows"] == [read.key.counter for read in after.hits]
    assert ["bucket.access_count"] == [read.key.counter for read in after.looks]


def test_the_strictest_counter_sets_the_grade():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    lax, strict = use(), use(name="exact", grade=Grade.STRICT)

    assert Grade.EVENTUAL is plan(document, PRE, [lax]).grade
    assert Grade.STRICT is plan(document, PRE, [lax, strict]).grade


def test_what_a_counter_does_when_degraded_can_be_asked():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    uses = [use(on_degraded=OnDegraded.BLOCK), use(name="rows", on_degraded=OnDegraded.ALLOW)]
    touched = plan(document, PRE, uses)

    assert ["input.bucket.access_count"] == touched.paths(OnDegraded.BLOCK)
    assert ["input.bucket.rows"] == touched.paths(OnDegraded.ALLOW)
    assert [] == touched.paths(OnDegraded.LOCAL)


def test_a_counter_that_counts_denied_attempts_says_so_to_its_driver():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    touched = plan(document, PRE, [use(count_denied=True), use(name="rows")])

    assert [True, False] == [hit.count_denied for hit in touched.hits]


# ── the filled input ─────────────────────────────────────────────────────────────────────────


def test_the_present_attempt_is_added_where_it_counts_and_only_there():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    uses = [use(windows=(MINUTE, HOUR)), use(name="rows", stages=("response",))]
    touched = plan(document, PRE, uses)

    filled, readings = touched.fill([[Count(4), Count(9, exact=False)]], [[Count(2)]])

    assert {
        "user": ALICE,
        "bucket": {
            "name": "b",
            "access_count": {"last_minute": 5, "last_hour": 10},
            "rows": {"last_minute": 2},
        },
    } == filled
    assert [
        ("input.bucket.access_count.last_minute", 5, True),
        ("input.bucket.access_count.last_hour", 10, False),
        ("input.bucket.rows.last_minute", 2, True),
    ] == [(reading.path, reading.value, reading.exact) for reading in readings]
    assert {("alice", "b")} == {reading.key.subject for reading in readings}


def test_a_callers_own_value_in_a_counters_place_is_overwritten():
    spoofed = {"user": ALICE, "bucket": {"name": "b", "access_count": {"last_hour": -99}}}

    filled, _ = plan(spoofed, PRE, [use()]).fill([[Count(5)]])

    assert {"last_minute": 6} == filled["bucket"]["access_count"]


def test_a_plain_entity_becomes_an_object_with_that_name():
    filled, _ = plan({"user": ALICE, "bucket": "b"}, PRE, [use()]).fill([[Count(0)]])

    assert {"name": "b", "access_count": {"last_minute": 1}} == filled["bucket"]


def test_degraded_counters_that_allow_read_as_zero_without_the_present_attempt():
    document = {"user": ALICE, "bucket": {"name": "b"}}
    uses = [use(on_degraded=OnDegraded.ALLOW), use(name="rows")]

    filled, _ = plan(document, PRE, uses).fill([[Count(7)], [Count(7)]], degraded=True)

    assert {"last_minute": 0} == filled["bucket"]["access_count"]
    assert {"last_minute": 8} == filled["bucket"]["rows"]


def test_counts_for_other_reads_than_planned_are_a_mistake():
    touched = plan({"user": ALICE, "bucket": {"name": "b"}}, PRE, [use()])

    with pytest.raises(ValueError, match="shorter"):
        touched.fill([])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.fixed_dictionaries(
    {"user": st.fixed_dictionaries({"id": st.text(min_size=1)})},
    optional={
        entity: st.fixed_dictionaries(
            {"name": st.text(min_size=1)},
            optional={"access_count": json_values, "other": json_values},
        )
        for entity in ("bucket", "table", "view")
    },
)


@given(documents, st.integers(0, 2**53))
def test_the_callers_document_is_never_changed_and_the_rest_is_kept(document, count):
    before = copy.deepcopy(document)
    uses = [use("bucket"), use("bucket", name="rows"), use("table", explicit=False)]

    touched = plan(document, PRE, uses)
    filled, readings = touched.fill([[Count(count)]] * len(touched.hits))

    assert before == document
    assert len(touched.hits) == len(readings)
    for field, value in before.items():
        if field in {"bucket", "table"}:
            mine = {"access_count", "rows"} if field == "bucket" else {"access_count"}
            assert {k: v for k, v in value.items() if k not in mine} == {
                k: v for k, v in filled[field].items() if k not in mine
            }
            assert {"last_minute": count + 1} == filled[field]["access_count"]
        else:
            assert filled[field] is document[field]
