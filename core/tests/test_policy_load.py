"""Loading: what is accepted, and what is refused with which words at which place."""

from pathlib import Path

import pytest

from formal_cluster.errors import ConfigError, PolicyLoadError
from formal_cluster.model import Stage
from formal_cluster.policy import PolicySetRefused, load_policies
from formal_cluster.policy.merge import ACTIONS
from formal_cluster.settings import DEFAULT_COUNTER, CounterSettings

SEED = Path(__file__).parent / "data/policies/seed.rego"
BLOCK = 'pre_request := {"action": "block"}'


@pytest.fixture
def load(tmp_path):
    def load_texts(*texts, counters=(DEFAULT_COUNTER,)):
        for number, text in enumerate(texts):
            (tmp_path / f"p{number}.rego").write_text(text)
        return load_policies([tmp_path], counters)

    return load_texts


@pytest.fixture
def refused(load, tmp_path):
    """The findings of a policy, as (line, column, message) or just the message."""

    def refused_texts(*texts, **options):
        with pytest.raises(PolicySetRefused) as error:
            load(*texts, **options)
        return [
            finding.message
            if isinstance(finding.where, str)
            else (finding.where.line, finding.where.column, finding.message)
            for finding in error.value.findings
        ]

    return refused_texts


def policy(body, head=BLOCK):
    return f"package formal.v2\n{head} if {{\n{body}\n}}\n"


def test_the_vendors_policy_is_accepted_as_it_is():
    policies = load_policies([SEED], [DEFAULT_COUNTER])

    (use,) = policies.uses
    assert ["seed.rego"] == [each.name for each in policies.policies]
    assert {Stage.PRE_REQUEST: ("data.formal.v2.pre_request",)} == policies.policies[0].rules
    assert ("input.bucket.access_count.last_minute", "input.bucket.name") == (
        policies.policies[0].paths
    )
    assert "input.bucket.access_count" == use.path
    assert ["last_minute"] == [window.name for window in use.windows]
    assert [(7, 29)] == [at[1:] for at in use.locations]
    assert ("last_minute > 5",) == use.comparisons
    assert ((5,),) == use.thresholds
    assert use.explicit


def test_no_paths_make_an_empty_set():
    assert () == load_policies([], [DEFAULT_COUNTER]).policies


def test_stages_are_known_by_their_older_and_newer_names(load):
    policies = load(
        'package formal.v2\nsession := {"action": "allow"}\nrequest := {"action": "allow"}\n'
        'pre_request := {"action": "allow"}\ndefault response := {"action": "allow"}'
    )

    assert {
        Stage.SESSION: ("data.formal.v2.session",),
        Stage.PRE_REQUEST: ("data.formal.v2.pre_request", "data.formal.v2.request"),
        Stage.POST_REQUEST: ("data.formal.v2.response",),
    } == policies.policies[0].rules


def test_files_in_other_packages_are_libraries(load):
    policies = load(
        policy("data.lib.busy(input.bucket)"),
        "package lib\nbusy(b) if b.access_count.last_day > 5",
    )

    assert ["p0.rego"] == [each.name for each in policies.policies]
    assert ["input.bucket.access_count"] == [use.path for use in policies.uses]


def test_equal_files_have_equal_digests(load):
    first = load(policy("input.x"))
    same = load(policy("input.x"))
    other = load(policy("input.y"))

    assert first.digest == same.digest != other.digest


# ── refused by the parser and the engine ─────────────────────────────────────────────────────


def test_a_syntax_error_is_shown_with_its_line_and_a_caret_and_no_backtrace(load, tmp_path):
    with pytest.raises(PolicyLoadError) as error:
        load('package formal.v2\npre_request := {\n\t"é": 1 +\n}\n')

    assert (f"{tmp_path}/p0.rego:4:1: expecting expression\n  4 | }}\n    | ^") == str(error.value)


def test_all_files_that_do_not_parse_are_told_at_once(refused):
    assert [
        (2, 8, "expecting identifier. Failed to parse rule-ref."),
        (1, 1, "expecting `package` Missing package declaration."),
        (2, 6, 'unmatched "'),
    ] == refused("package formal.v2\nx := 1 ]", "", 'package formal.v2\nx := "abc')


def test_version_0_is_not_taken_for_granted_where_it_changes_the_meaning(refused):
    text = f"package formal.v2\nhelper {{ input.x }}\n{BLOCK} if {{ input.y }}"

    assert [(2, 8, "`if` keyword is required before rule body")] == refused(text)


def test_an_unbound_variable_is_found_without_running_the_policy(refused):
    assert [(3, 1, "use of undefined variable `limit` is unsafe")] == refused(policy("limit > 5"))


def test_an_expression_too_long_to_be_walked_is_refused(refused):
    assert ["an expression is too long or nested too deeply; give names to its parts"] == refused(
        policy("x := " + "+\n".join(["1"] * 400))
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("nosuch(1)", "there is no function nosuch, built in or in a library of this set"),
        ("data.lib.f(1)", "there is no function lib.f, built in or in a library of this set"),
        (
            'io.jwt.decode("x")',
            "there is no function io.jwt.decode, built in or in a library of this set",
        ),
        ("http.send({})", "http.send is always undefined here: policies do no I/O"),
    ],
)
def test_functions_that_do_not_exist_are_refused(refused, call, message):
    assert [(3, 1, message)] == refused(policy(call))


# ── refused because it would never fire ──────────────────────────────────────────────────────


def test_a_set_without_a_policy_says_which_packages_it_found(load, tmp_path):
    with pytest.raises(PolicyLoadError) as error:
        load("package formal.v1\nx := 1", "package lib\nx := 1")

    assert (
        f"{tmp_path}: none of the files is in package formal.v2, which policies are "
        "(found: formal.v1, lib)"
    ) == str(error.value)


NEVER = (
    "the policy has none of the rules that are asked for "
    "(session, pre_request, request, post_request, response), so it would never fire"
)

POST_REQUEST_MEANT = "; post_reqest was probably meant to be post_request"
BLOK = 'pre_request := {"action": "blok"}'


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("package formal.v2\nallow := true", [NEVER]),
        (
            'package formal.v2\npre_reqest := {"action": "block"}',
            [f"{NEVER}; pre_reqest was probably meant to be pre_request"],
        ),
        (
            f'package formal.v2\n{BLOCK}\npost_reqest := {{"action": "mask"}}',
            [
                (3, 1, f"nothing uses the rule post_reqest{POST_REQUEST_MEANT}"),
            ],
        ),
        (
            "package formal.v2\npre_request contains 1 if input.x",
            [(2, 1, "write this as one object: pre_request := {…} if {…}")],
        ),
        (
            'package formal.v2\npre_request.action := "block"',
            [(2, 1, "write this as one object: pre_request := {…} if {…}")],
        ),
        (
            'package formal.v2\npre_request(x) := {"action": "block"} if x',
            [(2, 1, "write this as one object: pre_request := {…} if {…}")],
        ),
        (
            f'package formal.v2\n{BLOK} if {{ input.x }}\nelse := {{"action": "permit"}}',
            [
                (2, 28, "unknown action 'blok'; did you mean block?"),
                (3, 21, f"unknown action 'permit'; use one of {', '.join(ACTIONS)}"),
            ],
        ),
    ],
)
def test_a_policy_that_would_never_be_heard_is_refused(refused, text, messages):
    assert messages == refused(text)


def test_a_reference_to_a_rule_that_nobody_defines_is_refused(refused):
    (finding,) = refused(policy("data.lib.busy.x"), "package lib.other\nbusy := 1")

    assert (3, 10) == finding[:2]
    assert finding[2].startswith("no library of this set defines data.lib.busy, so this is always")


WINDOWS = (
    "is not a window; use last_second, last_minute, last_hour, last_day or last_<n>_<unit>, for "
    "example last_10_seconds"
)


def no_counter(name, hint):
    return (
        f"there is no counter input.bucket.{name}, so this is always undefined; {hint} "
        f'A counter of your own needs a [[counter]] table with name = "{name}"'
    )


MISSPELT = {
    "window": (
        "\tinput.bucket.access_count.last_minut > 5",
        (3, 28, f"'last_minut' {WINDOWS}; did you mean last_minute?"),
    ),
    "window with a number": (
        "input.bucket.access_count.last_5_min > 5",
        (3, 27, f"'last_5_min' {WINDOWS}; did you mean last_5_minutes?"),
    ),
    "no window at all": (
        "input.bucket.access_count.minute > 5",
        (3, 27, f"'minute' {WINDOWS}"),
    ),
    "window that is too long": (
        "input.bucket.access_count.last_32_days > 5",
        (3, 27, "window 'last_32_days' is longer than 31 days, the longest one kept"),
    ),
    "counter": (
        "input.bucket.acess_count.last_minute > 5",
        (3, 14, no_counter("acess_count", "did you mean access_count?")),
    ),
    "counter and window": (
        "input.bucket.acess_count.last_minut > 5",
        (3, 14, no_counter("acess_count", "did you mean access_count?")),
    ),
    "counter in brackets": (
        'input.bucket["acess_count"]["last_minute"] > 5',
        (3, 15, no_counter("acess_count", "did you mean access_count?")),
    ),
    "counter through an alias": (
        "c := input.bucket.acess_count\nc.last_minute > 5",
        (3, 19, no_counter("acess_count", "did you mean access_count?")),
    ),
    "key of a variable": (
        'some w in ["last_minute", "last_year"]\ninput.bucket.access_count[w] > 5',
        (4, 27, f"'last_year' {WINDOWS}"),
    ),
    "unknown counter": (
        "input.bucket.downloads.last_day > 5",
        (3, 14, no_counter("downloads", "declared: access_count")),
    ),
    "any entity, with none named": (
        "some e; input[e].access_count.last_day > 5",
        (3, 18, "access_count of which entity? Name one, e.g. input.bucket"),
    ),
    "in object.get": (
        'object.get(input, ["bucket", "acess_count", "last_day"], 0) > 5',
        (3, 31, no_counter("acess_count", "did you mean access_count?")),
    ),
}


@pytest.mark.parametrize(("body", "finding"), MISSPELT.values(), ids=MISSPELT.keys())
def test_a_counter_that_can_never_be_found_is_refused(refused, body, finding):
    assert [finding] == refused(policy(body))


def test_a_misspelling_in_a_library_is_told_once_for_all_policies(refused):
    call = policy("data.lib.busy(input.bucket)")

    assert [(2, 14, no_counter("acess_count", "did you mean access_count?"))] == refused(
        call, call, "package lib\nbusy(b) if b.acess_count.last_day > 5"
    )


def test_a_counter_of_another_entity_is_told_so(refused):
    counters = (CounterSettings(name="scans", entity="table"),)

    assert [(3, 14, no_counter("scans", "it is declared for other entities only"))] == refused(
        policy("input.bucket.scans.last_day > 5"), counters=counters
    )


@pytest.mark.parametrize(
    "body",
    [
        'input.row.customer.last_name == "x"',
        "input.user.account.last_login > 5",
        "input.user.account.last_seen > 5",
        "input.bucket.last_minute > 5",
        "input.table.scans.last_day > 5",
        "input.bucket.access_count.last_90_minutes > 5",
    ],
)
def test_what_only_looks_a_little_like_a_counter_is_let_through(load, body):
    load(policy(body), counters=(DEFAULT_COUNTER, CounterSettings(name="scans", entity="table")))


# ── refused because it cannot be run ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "cycle"),
    [
        ("f(x) := f(x)", "data.formal.v2.f → data.formal.v2.f"),
        ("a := b\nb := a", "data.formal.v2.a → data.formal.v2.b → data.formal.v2.a"),
        ("a := [x | x := a]", "data.formal.v2.a → data.formal.v2.a"),
        (
            "a { l := data.formal.v2; l.other }\nother { 1 }".replace("{", "if {"),
            "data.formal.v2.a → data.formal.v2.a",
        ),
        ("a := data.formal.v2", "data.formal.v2.a → data.formal.v2.a"),
        ('k := "a"\na := data.formal.v2[k]', "data.formal.v2.a → data.formal.v2.a"),
        ("a := data.formal.v2[input.k]", "data.formal.v2.a → data.formal.v2.a"),
    ],
)
def test_recursion_is_refused_because_it_would_kill_the_process(refused, rules, cycle):
    (finding,) = refused(f"package formal.v2\n{BLOCK}\n{rules}")

    assert finding[2] == f"rules must not refer to themselves: {cycle}; break the circle"


def test_a_variable_named_like_its_rule_is_no_recursion(load):
    load(f"package formal.v2\n{BLOCK}\nname := n if {{ name := input.x; n := name }}")


def test_declaring_a_counter_twice_is_an_error_of_the_settings(load):
    with pytest.raises(ConfigError, match="'access_count' is declared twice for entity '\\*'"):
        load(policy("input.x"), counters=(DEFAULT_COUNTER, DEFAULT_COUNTER))


# ── the counters of a set ────────────────────────────────────────────────────────────────────


def uses(policies):
    return {use.path: [window.name for window in use.windows] for use in policies.uses}


STANDARD = ["last_second", "last_minute", "last_hour", "last_day"]


def test_windows_are_collected_over_all_policies_shortest_first(load):
    policies = load(
        policy("input.bucket.access_count.last_hour > 5"),
        policy("input.bucket.access_count.last_10_seconds > 5"),
    )

    assert {"input.bucket.access_count": ["last_10_seconds", "last_hour"]} == uses(policies)


def test_a_dynamic_window_may_be_any_standard_one_or_one_named_anywhere(load):
    policies = load(
        policy("input.bucket.access_count[input.w] > 5"),
        policy('w := "last_10_minutes"; input.x == w'),
    )

    assert {
        "input.bucket.access_count": [
            "last_second",
            "last_minute",
            "last_10_minutes",
            "last_hour",
            "last_day",
        ]
    } == uses(policies)


def test_an_entity_read_whole_has_all_its_counters(load):
    policies = load(
        policy("json.marshal(input.bucket) != ``"),
        counters=(
            DEFAULT_COUNTER,
            CounterSettings(name="scans", entity="table"),
            CounterSettings(name="reads", entity="bucket"),
        ),
    )

    assert {"input.bucket.access_count": STANDARD, "input.bucket.reads": STANDARD} == uses(policies)
    assert not any(use.explicit for use in policies.uses)


def test_a_field_that_is_no_window_brings_no_counter(load):
    policies = load(policy('some row in input.rows; row.value == "x"'))

    assert {} == uses(policies)


def test_the_input_read_whole_has_the_counters_of_every_entity_named(load):
    policies = load(
        policy("json.marshal(input) != ``; input.table.x"),
        policy("input.bucket.name == 1"),
        counters=(DEFAULT_COUNTER, CounterSettings(name="scans", entity="view")),
    )

    assert {
        "input.bucket.access_count": STANDARD,
        "input.table.access_count": STANDARD,
        "input.view.access_count": STANDARD,
        "input.view.scans": STANDARD,
    } == uses(policies)


def test_a_counter_declared_for_an_entity_goes_before_the_one_for_all(load):
    own = CounterSettings(name="access_count", entity="bucket", subject=("user",))
    policies = load(
        policy("input.bucket.access_count.last_day > 5; input.table.access_count.last_day > 5"),
        counters=(DEFAULT_COUNTER, own),
    )

    assert [own, DEFAULT_COUNTER] == [use.counter for use in policies.uses]


def test_a_counter_is_read_at_the_stages_whose_rules_lead_to_it(load):
    policies = load(
        "package formal.v2\n"
        'pre_request := {"action": "block"} if { input.a.access_count.last_day > 5 }\n'
        'response := {"action": "mask"} if { busy(input.b) }\n'
        "busy(e) if e.access_count.last_day > 5\n"
        "unused if input.c.access_count.last_day > 5\n"
    )

    assert {
        "input.a.access_count": {Stage.PRE_REQUEST},
        "input.b.access_count": {Stage.POST_REQUEST},
    } == {use.path: use.stages for use in policies.uses}
    assert ["input.a.access_count", "input.b.access_count"] == [
        use.path
        for use in policies.uses_at(Stage.PRE_REQUEST)  # b counts there
    ]
    assert ["input.b.access_count"] == [use.path for use in policies.uses_at(Stage.POST_REQUEST)]
