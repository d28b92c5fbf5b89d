"""The driver of docs/write-a-store-driver.md works as it stands there, and fails as it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write-a-store-driver.md"
PACKAGE = "shelf_store"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def site(blocks_of, tmp_path) -> Path:
    """A directory with the page's package and metadata, as an installation leaves them."""
    files = {block.title: block.text for block in blocks_of(PAGE) if block.title}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    metadata = tmp_path / f"{PACKAGE}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    package = tmp_path / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in files.items():
        (package / name).write_text(text)
    return tmp_path


@pytest.fixture
def formal_cluster(site) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a command line of the page with the page's package installed."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(line)
        assert "formal-cluster" == program
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-m", "formal_cluster", *arguments],
            cwd=site.parent,  # not `site` itself, or it would be on the path twice
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_documented_store_is_listed(formal_cluster):
    listed = json.loads(formal_cluster("formal-cluster plugins --import --json").stdout)
    [plugin] = [each for each in listed if each["distribution"] == "shelf-store"]
    assert ("shelf", "loaded") == (plugin["name"], plugin["status"])


def _first_lines() -> list[str]:
    pattern = r"^(formal-cluster conformance .+ --only .+)$"
    return re.findall(pattern, PAGE.read_text(), re.MULTILINE)[:3]


@pytest.mark.parametrize("line", _first_lines())
def test_the_documented_store_keeps_the_rules_that_the_page_begins_with(line, formal_cluster):
    done = formal_cluster(line)
    assert 0 == done.returncode, f"{done.stdout}{done.stderr}"
    assert "state: partial" in done.stdout  # the other rules were not asked for
    assert {"passed"} == set(re.findall(r"^ST-\S+ +(\w+)", done.stderr, re.MULTILINE))


def test_the_mistake_that_the_page_makes_is_found_as_it_says(formal_cluster, site):
    calls = site / PACKAGE / "calls.py"
    right = "if is_whole and self.closed"
    assert right in calls.read_text()
    calls.write_text(calls.read_text().replace(right, "if self.closed"))
    done = formal_cluster("formal-cluster conformance --store shelf --quick --only ST-CANCEL-01")
    assert 1 == done.returncode, f"{done.stdout}{done.stderr}"
    assert "ST-CANCEL-01 failed" in done.stdout
