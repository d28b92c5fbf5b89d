"""Promises about the repository that only a reader would otherwise notice broken."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DECISIONS = ROOT / "docs" / "decisions"
SOURCES = [
    *ROOT.glob("core/src/**/*.py"),
    *ROOT.glob("plugins/*/src/**/*.py"),
    *ROOT.glob("tests/*/src/**/*.py"),
    *ROOT.glob("examples/*/src/**/*.py"),
    *ROOT.glob("benchmarks/**/*.py"),
]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]

LONGEST_SOURCE = 400


def test_no_source_file_is_too_long_to_read_at_once():
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > LONGEST_SOURCE
    }
    assert {} == too_long


def test_decisions_are_numbered_without_gaps_and_all_in_the_index():
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    indexed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (DECISIONS / "README.md").read_text())
    assert files == indexed
    assert [f"{number:04}" for number in range(1, len(files) + 1)] == [name[:4] for name in files]


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert [] == broken


def test_every_make_target_is_listed_by_make_help():
    makefile = (ROOT / "Makefile").read_text()
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE))
    assert sorted(phony.split()) == sorted(
        re.findall(r"^([a-z-]+):.*## \w", makefile, re.MULTILINE)
    )
