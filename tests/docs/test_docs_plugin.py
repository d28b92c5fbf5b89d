"""The plugin of docs/write-a-plugin.md works as it stands there, entry point and all."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from formal_cluster import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
POLICY = """package formal.v2

import future.keywords.if

pre_request := {"action": "block"} if input.calendar.weekday >= 0
"""


@pytest.fixture
def installed(blocks_of, tmp_path, monkeypatch):
    """The page's module and entry point on the import path, as an installation leaves them."""
    module, project = [block for block in blocks_of(PAGE) if block.title][:2]
    (tmp_path / module.title).write_text(module.text)
    metadata = tmp_path / "calendar_fields-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: calendar-fields\nVersion: 1.0\n"
    )
    entry_points = project.text.replace('project.entry-points."', "").replace('"', "")
    (metadata / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("calendar_fields", None)


async def test_the_documented_enricher_is_found_and_read_by_a_policy(installed, tmp_path):
    policy = tmp_path / "policy.rego"
    policy.write_text(POLICY)
    settings = {
        "store": {"driver": "memory"},
        "discovery": {"static": {"instances": [{"id": "a", "address": "127.0.0.1"}]}},
        "enrichment": {"drivers": ["cluster", "calendar"], "calendar": {"zone": "UTC"}},
        "policy": {"paths": [str(policy)]},
    }
    async with Cluster.from_settings(settings) as cluster:
        assert "block" == cluster.decide("pre_request", {}).action
