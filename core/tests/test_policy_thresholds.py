"""At which counts a policy may change its mind, and reads of a count's bounds."""

import pytest

from formal_cluster.errors import PolicyLoadError
from formal_cluster.policy import load_policies
from formal_cluster.policy.thresholds import thresholds
from formal_cluster.settings import DEFAULT_COUNTER

N = "input.bucket.access_count.last_minute"


def load(tmp_path, body, rules=""):
    path = tmp_path / "p.rego"
    path.write_text(
        f'package formal.v2\npre_request := {{"action": "block"}} if {{ {body} }}\n{rules}\n'
    )
    return load_policies([path], [DEFAULT_COUNTER])


def known(tmp_path, body, rules=""):
    use = next(use for use in load(tmp_path, body, rules).uses if use.entity == "bucket")
    return {w.name: t for w, t in zip(use.windows, use.thresholds, strict=True)}


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("> 5", {5}),
        (">= 5", {4}),
        ("< 5", {4}),
        ("<= 5", {5}),
        ("== 5", {4, 5}),
        ("!= 5", {4, 5}),
        ("> 5.5", {5}),
        (">= 5.5", {5}),
        ("== 5.5", set()),
        (">= 0", set()),
        ("== 0", {0}),
        ("> 1e3", {1000}),
    ],
)
def test_a_threshold_is_the_number_before_a_comparison_changes(comparison, expected):
    assert expected == thresholds(comparison)


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        (f"{N} > 5", ""),
        (f"5 < {N}", ""),
        (f"not {N} <= 5", ""),
        (f"n := {N}; n >= 6", ""),
        (f"n = {N}; n > 5", ""),
        (f"limit := 5; {N} > limit", ""),
        (f"{N} > limit", "limit := 5"),
        (f"{N} > limit", "default limit := 5"),
        (f"busy({N}, 5)", "busy(n, limit) if n > limit"),
        (f"n := {N}; busy", f"busy if {N} > 5"),
        ('object.get(input.bucket, ["access_count", "last_minute"], 0) > 5', ""),
        (f"some limit in [5]; {N} > limit", ""),
        ("input.bucket.access_count.upper.last_minute > 5", ""),
        (f"{N} > 5", f'unused := {N} + 1\nallowed := {{"n": {N}}}'),
    ],
)
def test_a_threshold_is_found_wherever_the_comparison_hides(tmp_path, body, rules):
    assert {"last_minute": (5,)} == known(tmp_path, body, rules)


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        (f"{N} > input.limit", ""),
        (f"{N} > input.bucket.access_count.last_minute", ""),
        (f"{N} * 2 > 10", ""),
        (f"{N} in [6, 7]", ""),
        (f"{N} > 5 * 2", ""),
        (f"some limit in input.limits; {N} > limit", ""),
        ("some n in counts; n > 5", f"counts contains {N}"),
        (f'sprintf("%d", [{N}]) == "6"', ""),
        (f'startswith({N}, "6")', ""),
        (f'x := {{"n": {N}}}; x.n > 5', ""),
        (f"{N} > 5; json.marshal(input.bucket.access_count) != 1", ""),
        (f"{N} > 5", f'post_request := {{"action": "allow", "n": {N}}}'),
        (f"[x] := [{N}]; x > 5", ""),
        (f'{N} > "5"', ""),
    ],
)
def test_thresholds_are_not_known_if_more_than_comparisons_is_made_of_the_value(
    tmp_path, body, rules
):
    assert None is known(tmp_path, body, rules)["last_minute"]


def test_thresholds_of_all_windows_and_branches_are_collected_each_for_its_own_window(tmp_path):
    found = known(
        tmp_path,
        f"{N} > limit; input.bucket.access_count.last_hour >= 100",
        "limit := 5 if input.user.guest else := 50",
    )

    assert {"last_minute": (5, 50), "last_hour": (99,)} == found


def test_a_number_is_not_taken_for_the_text_of_it(tmp_path):
    assert {"last_minute": (5,)} == known(tmp_path, f'x := ["5", 5][_]; {N} > 5; x == x')


def test_reading_a_bound_is_noted_and_its_window_counted(tmp_path):
    (use,) = load(tmp_path, "input.bucket.access_count.upper.last_10_minutes > 5").uses

    assert ("upper",) == use.bounds
    assert ["last_10_minutes"] == [window.name for window in use.windows]
    assert ("upper.last_10_minutes > 5",) == use.comparisons


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("input.bucket.access_count.uper.last_minute > 5", "did you mean upper?"),
        ("input.bucket.access_count.upper.last_minut > 5", "did you mean last_minute?"),
        ("input.bucket.acess_count.upper.last_minute > 5", "did you mean access_count?"),
        (f"{N}.upper > 5", "write input.bucket.access_count.upper.last_minute"),
        ("input.bucket.access_count.upper > 5", "of which window?"),
        (
            "input.bucket.access_count.upper.last_minute > 5; input.bucket.access_count[_] > 5",
            "name the windows",
        ),
    ],
)
def test_a_bound_that_would_not_mean_what_it_seems_to_is_refused(tmp_path, body, message):
    with pytest.raises(PolicyLoadError, match=message.replace("?", r"\?")):
        load(tmp_path, body)
