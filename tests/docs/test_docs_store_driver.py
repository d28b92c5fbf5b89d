"""The driver of docs/write-a-store-driver.md works as it stands there, and fails as it says."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write-a-store-driver.md"
PACKAGE = "shelf_store"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def formal_cluster(blocks_of, installed) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a command line of the page with the page's package installed."""
    files = {block.title: block.text for block in blocks_of(PAGE) if block.title}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    return installed(PACKAGE, files, project)


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


def test_the_mistake_that_the_page_makes_is_found_as_it_says(formal_cluster, tmp_path):
    calls = tmp_path / PACKAGE / "calls.py"
    right = "if is_whole and self.closed"
    assert right in calls.read_text()
    calls.write_text(calls.read_text().replace(right, "if self.closed"))
    done = formal_cluster("formal-cluster conformance --store shelf --quick --only ST-CANCEL-01")
    assert 1 == done.returncode, f"{done.stdout}{done.stderr}"
    assert "ST-CANCEL-01 failed" in done.stdout
