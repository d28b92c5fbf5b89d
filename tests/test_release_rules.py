"""What `make release-check` refuses, shown by things that are wrong in one way each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from tools.release_check import contents, readiness, versions
from tools.release_check.workspace import ROOT, Distribution, Requirement, distributions

CHART = 'apiVersion: v2\nversion: 1.2.3\nappVersion: "1.2.3"\n'
LICENCE = b"Do as you like."
INFO = "formal_cluster_x-1.2.3.dist-info"


def distribution(name: str = "formal-cluster-x", **project: Any) -> Distribution:
    return Distribution(
        Path("x"), {"name": name, "version": "1.2.3", "dependencies": [], **project}
    )


def metadata() -> Message:
    message = Message()
    for field, value in (
        ("Name", "formal-cluster-x"),
        ("Version", "1.2.3"),
        ("Summary", "x"),
        ("License-Expression", "Apache-2.0"),
        ("Requires-Python", ">=3.11"),
        ("Description-Content-Type", "text/markdown"),
        *(("Classifier", classifier) for classifier in contents.CLASSIFIERS),
    ):
        message[field] = value
    message.set_payload("# formal-cluster-x\n\n" + "It does what it should. " * 30)
    return message


def wheel() -> dict[str, bytes]:
    return {
        "formal_cluster_x/__init__.py": b"",
        "formal_cluster_x/plugin.py": b"",
        "formal_cluster_x/py.typed": b"",
        f"{INFO}/METADATA": metadata().as_bytes(),
        f"{INFO}/entry_points.txt": b"[formal_cluster.store.v1]\nx = formal_cluster_x.plugin\n",
        f"{INFO}/licenses/LICENSE": LICENCE,
    }


def sdist() -> dict[str, bytes]:
    names = ["PKG-INFO", "README.md", "LICENSE", "pyproject.toml", ".gitignore"]
    names += [f"src/{name}" for name in wheel() if name.startswith("formal_cluster_x/")]
    return {f"formal_cluster_x-1.2.3/{name}": b"" for name in names}


# ── versions ─────────────────────────────────────────────────────────────────────────────────


def test_one_version_required_exactly_has_no_problems():
    plugin = distribution(dependencies=["formal-cluster[etcd]==1.2.3", "click>=8,<9"])
    extras = {"x": ["formal-cluster-x==1.2.3"]}
    core = distribution("formal-cluster", **{"optional-dependencies": extras})
    assert [] == list(versions.problems([core, plugin], CHART))


@pytest.mark.parametrize("range_", [">=1.2", "==1.2.4", "~=1.2.3", ""])
def test_anything_but_the_same_version_of_another_of_ours_is_a_problem(range_):
    core = distribution("formal-cluster")
    plugin = distribution(dependencies=[f"formal-cluster{range_}"])
    [problem] = versions.problems([core, plugin], CHART)
    assert f"formal-cluster-x requires formal-cluster{range_}, not ==1.2.3" == problem


def test_different_versions_are_all_named():
    ours = [distribution(), distribution("formal-cluster", version="1.2.4")]
    assert 2 == len(list(versions.problems(ours, CHART)))


def test_the_chart_has_the_version_too():
    [problem] = versions.problems([distribution()], CHART.replace('"1.2.3"', '"1.2.2"'))
    assert problem.endswith("it has to be 1.2.3")


def test_a_requirement_is_taken_apart():
    assert Requirement("formal-cluster-x", ">=1,<2") == Requirement.parse("Formal_cluster.x >=1,<2")
    assert Requirement("moto", ">=5") == Requirement.parse("moto[s3,server]>=5")
    assert Requirement("moto", "") == Requirement.parse("moto")


@pytest.fixture
def workspace(tmp_path) -> Path:
    """What of this repository has a version in it."""
    for file in ["pyproject.toml", str(versions.CHART)] + [
        str(each.directory.relative_to(ROOT) / "pyproject.toml") for each in distributions()
    ]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_a_new_version_is_written_wherever_the_old_one_stands(workspace):
    changed = versions.set_version(workspace, "7.8.9rc1")
    ours = distributions(workspace)
    assert len(ours) + 1 == len(changed)
    assert {"7.8.9rc1"} == {each.version for each in ours}
    assert [] == list(versions.problems(ours, (workspace / versions.CHART).read_text()))
    assert [] == versions.set_version(workspace, "7.8.9rc1")


@pytest.mark.parametrize("version", ["7", "v7.8.9", "7.8.9.dev1", "", "7.8.9\n"])
def test_what_is_no_version_is_written_nowhere(version, workspace):
    with pytest.raises(ValueError, match="is no version such as"):
        versions.set_version(workspace, version)
    assert {each.version for each in distributions()} == {
        each.version for each in distributions(workspace)
    }


def test_the_changelog_has_a_section_for_a_version_only_if_it_is_headed_so():
    changelog = "## [Unreleased]\n\n## [1.2.30] - 2026-01-01\n\nAs in [1.2.3].\n"
    assert readiness.has_section(changelog, "1.2.30")
    assert not readiness.has_section(changelog, "1.2.3")


# ── contents ─────────────────────────────────────────────────────────────────────────────────


def test_a_wheel_with_everything_in_it_has_no_problems():
    assert [] == list(contents.wheel_problems(distribution(), wheel(), LICENCE))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: files.update({"tests/test_x.py": b""}), "installs tests beside its package"),
        (lambda files: files.pop("formal_cluster_x/py.typed"), "py.typed is missing"),
        (lambda files: files.pop(f"{INFO}/licenses/LICENSE"), "the licence is missing"),
        (lambda files: files.update({f"{INFO}/licenses/LICENSE": b"No."}), "another one"),
        (lambda files: files.pop("formal_cluster_x/plugin.py"), "which is not in it"),
    ],
)
def test_a_wheel_that_is_wrong_in_one_way_has_one_problem(
    change: Callable[[dict[str, bytes]], object], told: str
):
    files = wheel()
    change(files)
    [problem] = contents.wheel_problems(distribution(), files, LICENCE)
    assert told in problem


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("Version", "1.2.4", "Version is '1.2.4', not '1.2.3'"),
        ("Requires-Python", ">=3.12", "Requires-Python is"),
        ("License-Expression", "MIT", "License-Expression is"),
        ("Summary", "", "no summary"),
        ("Requires-Dist", "formal-cluster @ file:///home/me/core", "which is not on an index"),
        ("Classifier", contents.PRIVATE_CLASSIFIER, "it is not private, and its classifier"),
    ],
)
def test_metadata_that_is_wrong_in_one_way_has_one_problem(field, value, told):
    message = metadata()
    if field not in {"Requires-Dist", "Classifier"}:
        del message[field]
    message[field] = value
    [problem] = contents.metadata_problems(distribution(), message)
    assert told in problem


def test_what_is_private_has_to_say_so():
    name = "formal-cluster-store-redis-test"
    message = metadata()
    message.replace_header("Name", name)
    [problem] = contents.metadata_problems(distribution(name), message)
    assert "it is private, and its classifier 'Private :: Do Not Upload' says otherwise" == problem


@pytest.mark.parametrize(
    ("readme", "told"),
    [
        ("# x\n", "has 4 characters"),
        ("See [more](../docs/x.md). " * 30, "links to ../docs/x.md, which leads nowhere"),
    ],
)
def test_a_readme_has_to_be_of_use_on_an_index(readme, told):
    message = metadata()
    message.set_payload(readme)
    problems = list(contents.metadata_problems(distribution(), message))
    assert problems
    assert {True} == {told in problem for problem in problems}


@pytest.mark.parametrize("classifier", contents.CLASSIFIERS)
def test_every_classifier_is_needed(classifier):
    message = metadata()
    kept = [each for each in contents.CLASSIFIERS if each != classifier]
    del message["Classifier"]
    for each in kept:
        message["Classifier"] = each
    assert [f"the classifier {classifier!r} is missing"] == list(
        contents.metadata_problems(distribution(), message)
    )


def test_an_sdist_with_everything_in_it_has_no_problems():
    assert [] == list(contents.sdist_problems(distribution(), sdist(), wheel()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: files.update({"stray": b""}), "files outside of formal_cluster_x-1.2.3/"),
        (lambda files: files.pop("formal_cluster_x-1.2.3/LICENSE"), "it lacks LICENSE"),
        (
            lambda files: files.pop("formal_cluster_x-1.2.3/src/formal_cluster_x/plugin.py"),
            "it lacks src/formal_cluster_x/plugin.py",
        ),
        (
            lambda files: files.update({"formal_cluster_x-1.2.3/.hypothesis/x": b""}),
            "generated or private",
        ),
    ],
)
def test_an_sdist_that_is_wrong_in_one_way_has_one_problem(
    change: Callable[[dict[str, bytes]], object], told: str
):
    files = sdist()
    change(files)
    [problem] = contents.sdist_problems(distribution(), files, wheel())
    assert told in problem


def test_archives_differ_in_what_only_one_has_and_in_what_is_not_the_same():
    one = {"same": b"1", "changed": b"1", "only here": b"1"}
    assert ["changed", "only here"] == contents.differences(one, {"same": b"1", "changed": b"2"})


def test_a_distribution_knows_its_extras_and_everything_it_requires():
    ours = replace(
        distribution(),
        project={
            "name": "n",
            "dependencies": ["a>=1"],
            "optional-dependencies": {"x": ["b[y]==2"], "z": ["c"]},
        },
    )
    assert ["a", "b", "c"] == [required.name for required in ours.requirements]
