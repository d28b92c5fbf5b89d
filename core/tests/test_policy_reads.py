"""What a policy reads, in the many ways Rego can spell it."""

import pytest

from formal_cluster.policy.interpret import interpret
from formal_cluster.policy.rego import Module, parse
from formal_cluster.policy.sources import Source

RESULTS = [("formal", "v2", "pre_request")]


def module(name, text):
    parsed = parse(Source(name, name, text))
    assert isinstance(parsed, Module), str(parsed)
    return parsed


def reads_of(policy, *libraries):
    modules = [module("p.rego", f"package formal.v2\n{policy}")]
    modules += [module(f"lib{i}.rego", text) for i, text in enumerate(libraries)]
    return interpret(modules, RESULTS)


def places(policy, *libraries):
    return {
        ".".join(step or "*" for step in read.steps) for read in reads_of(policy, *libraries).places
    }


def rule(body):
    return f'pre_request := {{"action": "block"}} if {{ {body} }}'


SPELLINGS = {
    "dots": rule("input.bucket.access_count.last_minute > 5"),
    "brackets": rule('input["bucket"]["access_count"]["last_minute"] > 5'),
    "raw strings": rule("input[`bucket`].access_count[`last_minute`] > 5"),
    "mirrored comparison": rule("5 < input.bucket.access_count.last_minute"),
    "alias of the entity": rule("b := input.bucket; b.access_count.last_minute > 5"),
    "alias of the counter": rule("c := input.bucket.access_count; c.last_minute > 5"),
    "alias of the value": rule("n := input.bucket.access_count.last_minute; n > 5"),
    "alias by unification": rule("b = input.bucket; b.access_count.last_minute > 5"),
    "alias unified the other way": rule("input.bucket = b; b.access_count.last_minute > 5"),
    "alias of an alias, used before": rule(
        "c.last_minute > 5; c := b.access_count; b := input.bucket"
    ),
    "alias of the whole input": rule("i := input; i.bucket.access_count.last_minute > 5"),
    "key in a variable": rule('w := "last_minute"; input.bucket.access_count[w] > 5'),
    "iterated keys": rule('some w in ["last_minute"]; input.bucket.access_count[w] > 5'),
    "iterated keys of a set": rule('some w in {"last_minute"}; input.bucket.access_count[w] > 5'),
    "negation": rule("not input.bucket.access_count.last_minute <= 5"),
    "arithmetic": rule("input.bucket.access_count.last_minute * 2 > 10"),
    "membership": rule("input.bucket.access_count.last_minute in [6, 7]"),
    "built-in": rule("max([input.bucket.access_count.last_minute, 1]) > 5"),
    "object.get with keys": rule(
        'object.get(object.get(input.bucket, "access_count", {}), "last_minute", 0) > 5'
    ),
    "object.get with a path": rule(
        'object.get(input, ["bucket", "access_count", "last_minute"], 0) > 5'
    ),
    "comprehension": rule("count([1 | input.bucket.access_count.last_minute > 5]) > 0"),
    "value of a comprehension": rule("[x] := [input.bucket.access_count.last_minute]; x > 5"),
    "every": rule("every n in [1, 2] { input.bucket.access_count.last_minute > n }"),
    "else": 'pre_request := {"action": "allow"} if { false }\n'
    'else := {"action": "block"} if { input.bucket.access_count.last_minute > 5 }',
    "a second definition": rule("false") + "\n" + rule("input.bucket.access_count.last_minute > 5"),
    "in the result": 'pre_request := {"action": "block", '
    '"n": input.bucket.access_count.last_minute}',
    "helper rule": rule("busy") + "\nbusy if input.bucket.access_count.last_minute > 5",
    "helper value": rule("n > 5") + "\nn := input.bucket.access_count.last_minute",
    "helper entity": rule("b.access_count.last_minute > 5") + "\nb := input.bucket",
    "helper set": rule("some n in counts; n > 5")
    + "\ncounts contains input.bucket.access_count.last_minute",
    "helper object": rule("counts.x > 5")
    + '\ncounts["x"] := input.bucket.access_count.last_minute',
    "helper by full path": rule("data.formal.v2.busy")
    + "\nbusy if input.bucket.access_count.last_minute > 5",
    "function": rule("busy(input.bucket)") + "\nbusy(b) if b.access_count.last_minute > 5",
    "function of a key": rule('busy("last_minute")')
    + "\nbusy(w) if input.bucket.access_count[w] > 5",
    "function of a function": rule("f(input)")
    + "\nf(i) if g(i.bucket.access_count)\ng(c) if c.last_minute > 5",
    "function's value": rule("counts(input.bucket).last_minute > 5")
    + "\ncounts(b) := b.access_count",
    "import": "import input.bucket\n" + rule("bucket.access_count.last_minute > 5"),
    "import alias": "import input.bucket as b\n" + rule("b.access_count.last_minute > 5"),
    "import of input": "import input as i\n" + rule("i.bucket.access_count.last_minute > 5"),
    "with": rule("input.bucket.access_count.last_minute > 5 with input.x as 1"),
    "version 0": 'pre_request = {"action": "block"} { input.bucket.access_count.last_minute > 5 }',
}


@pytest.mark.parametrize("policy", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_counter_is_found_however_it_is_spelt(policy):
    assert {"bucket.access_count.last_minute"} == places(policy)


WHOLE = {
    "dynamic window": (rule("input.bucket.access_count[w] > 5"), {"bucket.access_count.*"}),
    "window from the input": (
        rule("input.bucket.access_count[input.settings.window] > 5"),
        {"bucket.access_count.*", "settings.window"},
    ),
    "window from several keys, one unknown": (
        rule('some w in ["last_day", input.w]; input.bucket.access_count[w] > 5'),
        {"bucket.access_count.*"},
    ),
    "computed window": (
        rule('w := concat("_", ["last", "day"]); input.bucket.access_count[w] > 5'),
        {"bucket.access_count.*"},
    ),
    "iterated windows": (
        rule("some n in input.bucket.access_count; n > 5"),
        {"bucket.access_count.*"},
    ),
    "iterated counters": (rule("some c in input.bucket; c.last_day > 5"), {"bucket.*.last_day"}),
    "iterated entities": (
        rule("some e in input; e.access_count.last_day > 5"),
        {"*.access_count.last_day"},
    ),
    "iterated with every, without a key": (
        rule("every e in input { e.access_count.last_day > 5 }"),
        {"*.access_count.last_day"},
    ),
    "iterated with every": (
        rule("every k, e in input { e.access_count.last_day > 5 }"),
        {"*.access_count.last_day"},
    ),
    "indexed list": (rule("input.tables[_].x.last_day > 5"), {"tables.*.x"}),
    "built-in of an entity": (rule("json.marshal(input.bucket) != ``"), {"bucket"}),
    "built-in of the input": (rule("json.marshal(input) != ``"), {""}),
    "walk": (rule("walk(input.bucket, [p, 5])"), {"bucket"}),
    "in a literal": (rule("x := [input.bucket]; x[0].access_count.last_day > 5"), {"bucket"}),
    "taken apart": (
        rule('{"access_count": c} := input.bucket; c.last_day > 5'),
        {"bucket"},
    ),
    "object.get with unknown key": (
        rule("object.get(input.bucket, input.x.y, {}).last_day > 5"),
        {"bucket.*.last_day", "x.y"},
    ),
    "result": ("pre_request := input.bucket", {"bucket"}),
    "result through a helper": ("pre_request := b\nb := input.bucket", {"bucket"}),
    "replaced input": (rule("f with input.bucket as input.other") + "\nf if true", {"other"}),
    "replaced function": (
        rule("f(1) with data.formal.v2.f as g") + "\nf(x) if x\ng(x) if x",
        {""},
    ),
}


@pytest.mark.parametrize(("policy", "expected"), WHOLE.values(), ids=WHOLE.keys())
def test_what_cannot_be_pinned_down_is_read_whole(policy, expected):
    assert expected == places(policy)


NOT_READ = {
    "existence of an entity": rule("input.bucket"),
    "comparison of an entity": rule('input.bucket == "x"'),
    "text function of a field": rule('startswith(input.client_ip, "10.")'),
    "network function of a field": rule('net.cidr_contains("10.0.0.0/8", input.client_ip)'),
    "membership in a list": rule('"admin" in input.groups'),
    "negated field": rule("not input.flag"),
}


@pytest.mark.parametrize("policy", NOT_READ.values(), ids=NOT_READ.keys())
def test_a_test_of_an_entity_reads_none_of_its_counters(policy):
    assert set() == places(policy)


LIBRARY = """package lib.limits
busy(entity, window) if entity.access_count[window] > 5
bucket := input.bucket
"""


@pytest.mark.parametrize(
    "policy",
    [
        "import data.lib.limits\n" + rule('limits.busy(input.bucket, "last_day")'),
        "import data.lib.limits as l\n" + rule('l.busy(input.bucket, "last_day")'),
        "import data.lib.limits.busy\n" + rule('busy(input.bucket, "last_day")'),
        "import data.lib\n" + rule('lib.limits.busy(lib.limits.bucket, "last_day")'),
        rule('data.lib.limits.busy(data.lib.limits.bucket, "last_day")'),
        rule('data.lib.limits.bucket.access_count["last_day"] > 5'),
        rule('data["lib"].limits["bucket"].access_count.last_day > 5'),
        rule("l := data.lib.limits; l.bucket.access_count.last_day > 5"),
    ],
)
def test_libraries_are_followed(policy):
    assert {"bucket.access_count.last_day"} == places(policy, LIBRARY)


def test_a_whole_package_reads_all_that_its_rules_stand_for():
    assert {"bucket"} == places(rule("json.marshal(data.lib) != ``"), LIBRARY)
    assert {"bucket.access_count.last_day"} == places(
        rule("some rule in data.lib.limits; rule.access_count.last_day > 5"), LIBRARY
    )


def test_a_variable_hides_the_rule_of_its_name_only_where_it_is_declared():
    policy = rule("some b in [x | some x in input.list]; b; x.access_count.last_day > 5")

    assert {"bucket.access_count.last_day", "list.*"} == places(policy + "\nx := input.bucket")


def test_the_wildcard_stands_for_something_else_each_time():
    assert {"bucket.access_count.*"} == places(
        rule('some _ in ["last_day"]; input.bucket.access_count[_] > 5')
    )


def test_an_undeclared_variable_is_not_taken_for_a_string_it_was_compared_with():
    policy = rule('{1 | k = "last_day"} == {1}; {1 | input.bucket.access_count[k] > 5} == {1}')

    assert {"bucket.access_count.*"} == places(policy)


def test_each_step_is_located_where_it_is_written():
    policy = (
        'import input.bucket as b\npre_request := {} if {\n\tc := b["acess_count"]\n\tc.last_day\n}'
    )

    (read,) = [read for read in reads_of(policy).places if len(read.steps) == 3]

    assert [(4, 7), (4, 7), (4, 10), (5, 4)] == [at[1:] for at in read.at]


def test_thresholds_are_collected_with_the_counter_on_the_left():
    policy = rule(
        "input.a.n.last_day > 5; 7 >= input.b.n.last_day; n := input.c.n.last_day; n == 9"
    )

    assert {("a", "> 5"), ("b", "<= 7"), ("c", "== 9")} == {
        (threshold.steps[0], threshold.comparison) for threshold in reads_of(policy).thresholds
    }


def test_every_path_that_occurs_is_listed():
    policy = rule('input.user.groups[_] == "x"; input.flag; json.marshal(input.bucket)')

    assert {("user", "groups", None), ("flag",), ("bucket",)} == reads_of(policy).paths
