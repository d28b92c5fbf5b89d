"""What the templates make is right to the letter; `make kit-check` installs it and runs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FAMILIES = ("discovery", "store")
PAGES = {"discovery": "write-a-discovery-driver.md", "store": "write-a-store-driver.md"}
LONG = {"distribution": "a-distribution-of-thirty-two-chr", "driver": "sixteen-of-these"}
SHORT = {"distribution": "a", "driver": "b"}


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def project(family, template, tmp_path_factory) -> Path:
    """What the default answers make."""
    return template.copy(family, tmp_path_factory.mktemp(family) / "project")


def test_the_tutorial_shows_what_the_template_makes(family, project):
    [package] = (project / "src").iterdir()
    page = (ROOT / "docs" / PAGES[family]).read_text()
    shown = dict(re.findall(r'```python title="(\w+\.py)"\n(.*?)```', page, re.DOTALL))
    made = {file.name: file.read_text() for file in package.glob("*.py")}
    del made["__init__.py"]  # a docstring
    assert sorted(made) == sorted(shown)
    for name, text in made.items():
        assert text == shown[name], name


def test_the_default_licence_is_whole(project):
    assert (ROOT / "LICENSE").read_text() == (project / "LICENSE").read_text()


def test_the_range_allows_the_core_of_this_repository(project):
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    core = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text())["project"]
    major, minor, *_ = core["version"].split(".")
    assert f"formal-cluster>={major}.{minor},<{int(major) + 1}" in metadata["dependencies"]


@pytest.mark.parametrize("names", [LONG, SHORT], ids=["long", "short"])
def test_names_and_versions_are_those_that_were_asked_for_and_ruff_finds_nothing(
    family, names, template, tmp_path, run
):
    answers = {"oldest_python": "3.12", "licence": "BSD-3-Clause", **names}
    project = template.copy(family, tmp_path / "project", **answers)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    package = names["distribution"].replace("-", "_")
    assert names["distribution"] == metadata["name"]
    assert (">=3.12", "BSD-3-Clause") == (metadata["requires-python"], metadata["license"])
    assert {names["driver"]: f"{package}.plugin"} == (
        metadata["entry-points"][f"formal_cluster.{family}.v1"]
    )
    workflow = yaml.safe_load((project / ".github" / "workflows" / "test.yml").read_text())
    assert ["3.12", "3.13"] == workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert "Ada Lovelace" in (project / "LICENSE").read_text()
    run(sys.executable, "-m", "ruff", "check", cwd=project)
    run(sys.executable, "-m", "ruff", "format", "--check", cwd=project)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"distribution": "My Store"}, "use lower-case words joined by single hyphens"),
        ({"distribution": "my_store"}, "use lower-case words joined by single hyphens"),
        ({"distribution": "a" * 33}, "has 33 characters; use at most 32"),
        ({"distribution": "formal-cluster-store-x"}, "use a prefix of yours"),
        ({"driver": "Shelf"}, "use lower-case words joined by single hyphens"),
        ({"driver": "etcd"}, "etcd is taken by formal-cluster itself"),
        ({"driver": "a" * 17}, "has 17 characters; use at most 16"),
        ({"author": " "}, "Somebody has to have written it"),
        ({"author": 'Ada "Countess" L.'}, "no double quotes"),
    ],
)
def test_an_answer_that_cannot_work_is_refused_with_the_reason(answers, told, template, tmp_path):
    with pytest.raises(ValueError, match=re.escape(told)):
        template.copy("store", tmp_path / "project", **answers)


def test_a_project_is_updated_with_the_template_and_keeps_what_is_its_own(
    own_template, tmp_path, commit
):
    project = own_template.copy("discovery", tmp_path / "project", driver="mine")
    (project / "CHANGELOG.md").write_text("# Changelog\n\nMine.\n")
    commit(project, "begin")
    ignored = own_template.directory / "templates" / "shared" / "gitignore.jinja"
    ignored.write_text(f"{ignored.read_text()}*.orig\n")
    own_template.release("v0.2.0")

    own_template.update(project)

    assert "*.orig" in (project / ".gitignore").read_text()
    assert "Mine." in (project / "CHANGELOG.md").read_text()
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert ("v0.2.0", "mine") == (answers["_commit"], answers["driver"])
