"""The driver of docs/write-a-discovery-driver.md keeps all rules, as it stands there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write-a-discovery-driver.md"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_documented_driver_keeps_every_rule(blocks_of, installed):
    blocks = blocks_of(PAGE)
    groups = {
        group: entries
        for block in blocks
        if block.text.startswith("[project.entry-points")
        for group, entries in tomllib.loads(block.text)["project"]["entry-points"].items()
    }
    formal_cluster = installed(
        "roster_discovery",
        {block.title: block.text for block in blocks if block.title},
        {"name": "roster-discovery", "version": "0.1.0", "entry-points": groups},
    )
    [line] = [
        line
        for block in blocks
        for line in block.text.splitlines()
        if line.startswith("formal-cluster conformance")
    ]
    done = formal_cluster(line)
    assert 0 == done.returncode, f"{done.stdout}{done.stderr}"
    assert "discovery: full" in done.stdout
