"""Finding and reading policy files, and what is refused before they are parsed."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.policy.findings import Location, PolicySetRefused
from formal_cluster.policy.sources import MAX_BYTES, Source, nesting_finding, read_sources


@pytest.fixture
def write(tmp_path):
    def write_files(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_rego", ".rego")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write_files


NO_POLICY = (
    "the directory holds no *.rego file (tests aside); put policies there or change policy.paths"
)


def refusal(paths):
    with pytest.raises(PolicySetRefused) as refused:
        read_sources(paths)
    return [str(finding) for finding in refused.value.findings]


def test_a_directory_is_searched_in_order_without_tests_and_hidden_files(write):
    root = write(
        b_rego="b", a_rego="a", sub__c_rego="c", a_test_rego="t", **{".old__a_rego": "old"}
    )
    (root / "notes.txt").write_text("no policy")

    assert ["a.rego", "b.rego", "sub/c.rego"] == [s.name for s in read_sources([root])]


def test_a_file_found_twice_is_read_once(write):
    root = write(a_rego="a")
    (root / "link.rego").symlink_to(root / "a.rego")

    assert ["a.rego"] == [source.name for source in read_sources([root, root / "a.rego"])]


def test_files_of_the_same_name_in_two_directories_keep_apart(write):
    root = write(one__p_rego="a", two__p_rego="b")

    names = [source.name for source in read_sources([root / "one", root / "two"])]

    assert ["p.rego", str(root / "two/p.rego")] == names


def test_every_unusable_path_is_named_at_once(write):
    root = write(empty__x="", big_rego=b"x" * (MAX_BYTES + 1), latin_rego=b"# \xe9")
    os.mkfifo(root / "pipe.rego")
    (root / "dir.rego").mkdir()

    findings = refusal([root / "empty", root / "gone.rego", root])

    assert [
        f"{root}/big.rego: larger than 1048576 bytes; split it or trim its data",
        f"{root}/dir.rego: cannot be read (not a regular file); check what it is and who may",
        f"{root}/empty: {NO_POLICY}",
        f"{root}/gone.rego: no such file or directory; check policy.paths",
        f"{root}/latin.rego: not UTF-8 at byte 2; save it as UTF-8",
        f"{root}/pipe.rego: cannot be read (not a regular file); check what it is and who may",
    ] == findings


def test_a_byte_order_mark_is_no_part_of_the_policy(write):
    (source,) = read_sources([write(a_rego=b"\xef\xbb\xbfpackage a")])

    assert "package a" == source.text


def source(text):
    return Source("p.rego", "p.rego", text)


def test_nesting_is_refused_at_the_bracket_that_goes_too_deep():
    finding = nesting_finding(source("package p\n# [[[\n\tx := " + "[" * 13 + "]" * 13))

    assert finding is not None
    assert Location("p.rego", 3, 19) == finding.where


@pytest.mark.parametrize(
    "text",
    [
        "x := " + "[" * 12 + "]" * 12,
        "x := [1]\n" * 20,
        'x := "' + "[" * 20 + '"',
        'x := "\\"' + "[" * 20 + '"',
        "x := `\n" + "{" * 20 + "`",
        "# " + "[" * 20,
        "x := " + "(" * 20 + "1" + ")" * 20,
    ],
)
def test_brackets_in_text_and_within_the_limit_are_let_through(text):
    assert nesting_finding(source(text)) is None


@given(st.text())
def test_counting_brackets_takes_any_text(text):
    finding = nesting_finding(source(text))

    assert finding is None or text.count("[") + text.count("{") > 12


@given(st.text(st.sampled_from("aé\t𝔾\n \r")), st.data())
def test_offsets_and_columns_lead_to_the_same_character(text, data):
    index = data.draw(st.integers(0, len(text)))
    before = text[:index]
    line_start = before.rfind("\n") + 1
    line, column = before.count("\n") + 1, index - line_start + 1
    columns_of_the_parser = sum(4 if c == "\t" else len(c.encode()) for c in text[line_start:index])

    assert Location("p.rego", line, column) == source(text).at_offset(len(before.encode()))
    if "\r" not in text:
        assert (line, column) == source(text).at_column(line, columns_of_the_parser + 1)[1:]
