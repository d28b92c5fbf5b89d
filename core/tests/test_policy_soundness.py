"""The analysis against the engine: no policy may notice that counters it does not read are absent.

Policies are put together at random from the ways to spell an entity, a counter and a window. Each
is evaluated twice: with every counter there could be, and with those only that the analysis found.
"""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from formal_cluster.model import Count, Stage, Window
from formal_cluster.policy import load_policies, plan
from formal_cluster.policy.analyse import STANDARD_WINDOWS
from formal_cluster.settings import DEFAULT_COUNTER, CounterSettings

COUNTERS = (DEFAULT_COUNTER, CounterSettings(name="scans", entity="bucket"))
WINDOWS = (*STANDARD_WINDOWS, Window.parse("last_10_minutes"))
PLACES = (("bucket", "access_count"), ("bucket", "scans"), ("table", "access_count"))

# Each form wraps an inner expression. `{n}` is a fresh number, `lines` go into the rule's body and
# `rules` beside it.
ROOTS = [
    ("input.{e}", "", ""),
    ('input["{e}"]', "", ""),
    ('object.get(input, "{e}", {{}})', "", ""),
]
WRAPPERS = [
    ("{x}", "", ""),
    ("v{n}", "v{n} := {x}", ""),
    ("v{n}", "v{n} = {x}", ""),
    ("v{n}", "some v{n} in [{x}]", ""),
    ("v{n}[0]", "v{n} := [{x}]", ""),
    ("v{n}.k", 'v{n} := {{"k": {x}}}', ""),
    ("f{n}({x})", "", "f{n}(a) := a"),
    ("object.union({x}, {{}})", "", ""),
    ("json.unmarshal(json.marshal({x}))", "", ""),
]
STEPS = [
    ("{x}.{k}", "", ""),
    ('{x}["{k}"]', "", ""),
    ("{x}[k{n}]", 'k{n} := "{k}"', ""),
    ("{x}[k{n}]", 'some k{n} in ["{k}", "{other}"]', ""),
    ("{x}[k{n}]", 'k{n} := concat("", ["{k}"])', ""),
    ('object.get({x}, "{k}", 0)', "", ""),
    ("g{n}({x})", "", "g{n}(a) := a.{k}"),
    ('h{n}({x}, "{k}")', "", "h{n}(a, k) := a[k]"),
    ("v{n}", "some k{n}, v{n} in {x}", ""),
    ("v{n}", "v{n} := {x}[_]", ""),
]


class Policy:
    """A policy in the making."""

    def __init__(self, draw):
        self.draw = draw
        self.numbers = itertools.count()
        self.lines = []
        self.rules = []

    def apply(self, forms, **fields):
        form, line, rule = self.draw(st.sampled_from(forms))
        fields["n"] = next(self.numbers)
        if line:
            self.lines.append(line.format(**fields))
        if rule:
            self.rules.append(rule.format(**fields))
        return form.format(**fields)

    def value(self):
        entity, counter = self.draw(st.sampled_from(PLACES))
        window = self.draw(st.sampled_from(WINDOWS)).name
        x = self.apply(WRAPPERS, x=self.apply(ROOTS, e=entity))
        x = self.apply(WRAPPERS, x=self.apply(STEPS, x=x, k=counter, other=counter))
        return self.apply(WRAPPERS, x=self.apply(STEPS, x=x, k=window, other="last_second"))

    def condition(self):
        value, threshold = self.value(), self.draw(st.integers(0, 9))
        form = self.draw(st.sampled_from(["{v} > {t}", "{t} < {v}", "not {v} <= {t}"]))
        self.lines.append(form.format(v=value, t=threshold))


@st.composite
def policies(draw):
    policy = Policy(draw)
    for _ in range(draw(st.integers(1, 3))):
        policy.condition()
    body = "\n  ".join(policy.lines)
    head = f'package formal.v2\npre_request := {{"action": "block"}} if {{\n  {body}\n}}'
    # A window that is not standard exists only where it is named.
    return "\n".join([head, *policy.rules, 'named := "last_10_minutes"'])


counts = st.lists(st.integers(0, 10), min_size=len(WINDOWS), max_size=len(WINDOWS))


@settings(max_examples=150, deadline=None)
@given(text=policies(), values=st.fixed_dictionaries(dict.fromkeys(PLACES, counts)))
def test_a_policy_cannot_tell_that_counters_it_does_not_read_are_absent(
    tmp_path_factory, text, values
):
    path = tmp_path_factory.getbasetemp() / "generated.rego"
    path.write_text(text)
    policy_set = load_policies([path], COUNTERS)
    document = {"user": {"id": "alice"}, "bucket": {"name": "b"}, "table": {"name": "t"}}
    everything = {**document}
    for (entity, counter), numbers in values.items():
        windows = {w.name: number for w, number in zip(WINDOWS, numbers, strict=True)}
        everything[entity] = {**everything[entity], counter: windows}

    touched = plan(document, Stage.PRE_REQUEST, policy_set.uses_at(Stage.PRE_REQUEST))
    filled, _ = touched.fill(
        [
            [
                # Without the present attempt, which `fill` adds.
                Count(everything[touch.use.entity][touch.use.counter.name][window.name] - 1)
                for window in touch.read.windows
            ]
            for touch in touched.counted
        ]
    )

    assert policy_set.evaluate(Stage.PRE_REQUEST, everything) == policy_set.evaluate(
        Stage.PRE_REQUEST, filled
    )


@settings(max_examples=100, deadline=None)
@given(text=policies(), values=st.fixed_dictionaries(dict.fromkeys(PLACES, counts)))
def test_a_policy_cannot_tell_counts_apart_that_no_threshold_separates(
    tmp_path_factory, text, values
):
    path = tmp_path_factory.getbasetemp() / "thresholds.rego"
    path.write_text(text)
    policy_set = load_policies([path], COUNTERS)
    documents = []
    for other in (False, True):
        document = {"user": {"id": "alice"}, "bucket": {"name": "b"}, "table": {"name": "t"}}
        for use in policy_set.uses:
            given_counts = dict(zip(WINDOWS, values[use.entity, use.counter.name], strict=True))
            counter = document[use.entity][use.counter.name] = {}
            for window, known in zip(use.windows, use.thresholds, strict=True):
                count = given_counts[window]
                if other and known is not None:
                    # As far up as no threshold is passed.
                    count = min((t for t in known if t >= count), default=10_000)
                counter[window.name] = count
        documents.append(document)

    one, other = (policy_set.evaluate(Stage.PRE_REQUEST, document) for document in documents)

    assert one == other
