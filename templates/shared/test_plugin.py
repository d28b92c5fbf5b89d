"""The plugin is found and loaded as an operator would see it."""

from __future__ import annotations

import json
import subprocess
import sys


def test_it_is_listed_and_loads() -> None:
    command = [sys.executable, "-m", "formal_cluster", "plugins", "--import", "--json"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True)
    found = {(plugin["family"], plugin["name"]): plugin for plugin in json.loads(listing.stdout)}
    plugin = found["{{ family }}", "{{ driver }}"]
    assert plugin["distribution"] == "{{ distribution }}"
    assert plugin["status"] == "loaded", plugin["detail"]
