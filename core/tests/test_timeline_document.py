"""Files of policy tests: their times, what they may say, and where the mistakes are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import ConfigError
from formal_cluster.timeline.document import find_files, read_file
from formal_cluster.timeline.moments import moment_ms, moment_text


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("1m30s", 90_000),
        ("1.5s", 1_500),
        ("59.999s", 59_999),
        ("250ms", 250),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
    ],
)
def test_a_time_is_since_the_start_and_with_a_plus_after_the_step_before(text, ms):
    assert ms == moment_ms(text, 0)
    assert 500 + ms == moment_ms(f"+{text}", 500)


@pytest.mark.parametrize("text", ["", "10", "s", "10x", "-5s", "++5s", "5 s", "1e3s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is no time; write 90s"):
        moment_ms(text, 0)


def test_time_does_not_go_back():
    assert 5_000 == moment_ms("5s", 5_000)
    with pytest.raises(ValueError, match="4s is before the step before, which is at 5s"):
        moment_ms("4s", 5_000)


@given(st.integers(0, 10**11))
def test_a_time_that_was_written_is_read_as_the_same(ms):
    assert ms == moment_ms(moment_text(ms), 0)


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "p_test.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_is_read_with_the_line_and_the_time_of_each_step(write):
    path = write(
        "policies: [limits, lib.rego]\n"
        "tests:\n"
        "  - name: one\n"
        "    steps:\n"
        "      - { at: 1s, expect: allow }\n"
        "      - at: +1m\n"
        "        expect: { action: block }\n"
        "  - name: two\n"
        "    steps: [{ expect: nothing }]\n"
    )
    file = read_file(path)
    assert (path.parent / "limits", path.parent / "lib.rego") == file.policies
    assert ((5, 6), (9,)) == file.lines
    assert ((1_000, 61_000), (0,)) == file.moments


def test_json_is_read_too_and_the_policies_are_beside_the_tests(write):
    path = write('{"tests": [{"name": "n", "steps": [{"expect": "mask"}]}]}', "p_test.json")
    assert (path.parent,) == read_file(path).policies


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{ at: 1s, expects: allow }", "5: tests.0.steps.0.expects: there is no such key"),
        ("{ at: 1s }", "5: tests.0.steps.0.expect: Field required"),
        ("{ expect: blok }", "5: tests.0.steps.0.expect: 'blok' is no action; one of block, "),
        ("{ expect: { action: blok } }", "'blok' is no action"),
        ("{ expect: {} }", "say what is expected, for example {action: block}"),
        ("{ at: 10, expect: allow }", "5: tests.0.steps.0.at: 10 has no unit; write 10s, or +10s"),
        ("{ at: soon, expect: allow }", "5: at: 'soon' is no time"),
        ("{ stage: pre, expect: allow }", "unknown stage 'pre'"),
        ("{ times: 0, expect: allow }", "greater than or equal to 1"),
        ("{ expect: allow, expect: block }", "5: expect is there twice"),
    ],
)
def test_a_mistake_is_told_with_its_line(step, told, write):
    path = write(f"tests:\n  - name: n\n    steps:\n      # here:\n      - {step}\n")
    with pytest.raises(ConfigError) as refused:
        read_file(path)
    assert str(refused.value).startswith(f"{path}:5: ")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "tests: []", "tests: [{name: n, steps: []}]", "- - : ["]
)
def test_a_file_without_tests_is_refused(text, write):
    with pytest.raises(ConfigError):
        read_file(write(text))


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path)


def test_directories_are_searched_for_tests_and_files_are_taken_as_they_are(tmp_path):
    (tmp_path / "deeper").mkdir()
    names = ["a_test.yaml", "deeper/b_test.yml", "deeper/c_test.json"]
    for name in [*names, "values.yaml", "p_test.rego"]:
        (tmp_path / name).write_text("")
    assert [tmp_path / name for name in names] == find_files([tmp_path, tmp_path / "a_test.yaml"])
    assert [tmp_path / "values.yaml"] == find_files([tmp_path / "values.yaml"])


def test_a_path_without_tests_is_an_error_and_no_success(tmp_path):
    with pytest.raises(ConfigError, match="has no tests"):
        find_files([tmp_path])
    with pytest.raises(ConfigError, match="does not exist"):
        find_files([tmp_path / "gone_test.yaml"])
