"""Every block that a reader types or compares is run by a test, or says why it cannot be."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        "core/README.md",
        "docs/**/*.md",
        "deploy/**/README.md",
        "plugins/*/README.md",
        "examples/*/README.md",
        "benchmarks/README.md",
        "tests/*/README.md",
    )
    for page in ROOT.glob(pattern)
    if not page.with_suffix(".json").exists()  # a report of the conformance suite
)
WHAT_TO_DO = """nobody runs this block. Either
- follow it in a walk: a test in tests/docs/walks, named for the page under [walked] in
  tests/docs/inventory.toml, that takes every block of the page in order; or
- name the test that runs it, or say why it cannot be run, under [run_elsewhere] or [not_run] there:
  [not_run."{page}"]
  {start} = "…"
"""


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_block_is_run_or_says_why_not(page, blocks_of, inventory):
    name = str(page.relative_to(ROOT))
    if name in inventory.walked:
        return  # the walk itself fails at a block that it passes over
    for block in blocks_of(page):
        if not block.is_to_be_run:
            continue
        excuses = [start for start in inventory.excuses(page) if block.text.startswith(start)]
        assert excuses, f"{block.place}: " + WHAT_TO_DO.format(
            page=name, start=json.dumps(block.text.splitlines()[0])
        )


def test_the_inventory_names_pages_blocks_and_tests_that_are_there(blocks_of, inventory):
    for name, walk in inventory.walked.items():
        assert name.rpartition("/")[2] in (ROOT / walk).read_text(), f"{walk} walks no {name}"
    for table in (inventory.run_elsewhere, inventory.not_run):
        for name, entries in table.items():
            blocks = blocks_of(ROOT / name)
            for start in entries:
                assert any(block.text.startswith(start) for block in blocks), (
                    f"inventory.toml: no block of {name} begins with {start!r} any more"
                )
    for entries in inventory.run_elsewhere.values():
        for test in entries.values():
            assert (ROOT / test).is_file(), f"inventory.toml: there is no {test}"


OTHERS = {"copier"}
"""What pages have a reader install besides."""


def test_every_installation_names_distributions_and_extras_that_are_built_here(blocks_of):
    """`tests/test_wheels.py` carries such installations out."""
    built = {
        project["name"]: {*project.get("optional-dependencies", {})}
        for file in ROOT.glob("*/**/pyproject.toml")
        for project in [tomllib.loads(file.read_text())["project"]]
    }
    wanted = [
        requirement
        for page in PAGES
        for block in blocks_of(page)
        for line in block.text.splitlines()
        if line.startswith("pip install ")
        for requirement in shlex.split(line, comments=True)[2:]
    ]
    assert len(wanted) > 5
    for requirement in wanted:
        name, _, extras = requirement.rstrip("]").partition("[")
        if not name.startswith("formal-cluster"):
            assert name in OTHERS, requirement
            continue
        assert {extra for extra in extras.split(",") if extra} <= built[name], requirement
