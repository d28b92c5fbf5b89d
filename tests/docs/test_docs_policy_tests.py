"""The policy test of docs/policies.md comes out as the page says, and fails as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from formal_cluster.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
POLICY = "policies/sensitive_bucket.rego"


@pytest.fixture
def titled(blocks_of) -> dict[str, str]:
    return {block.title: block.text for block in blocks_of(PAGE) if block.title}


def follow(titled: dict[str, str], directory: Path) -> tuple[int, str]:
    for title, text in titled.items():
        if title.startswith("policies/"):
            file = directory / title
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    done = CliRunner().invoke(main, ["policy", "test", "policies"])
    return done.exit_code, done.output


def test_the_documented_test_holds(titled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (0, titled["output"]) == follow(titled, tmp_path)


def test_with_the_wrong_limit_it_fails_as_the_page_shows(titled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {**titled, POLICY: titled[POLICY].replace("> 5", "> 6")}
    code, output = follow(wrong, tmp_path)
    assert 1 == code
    shown = ".*".join(re.escape(part) for part in titled["output with > 6"].split("…"))
    assert re.match(shown, output, re.DOTALL), output
