"""What a check on any day lets pass, and an upload must not: told at the end of the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.release_check.environment import run
from tools.release_check.workspace import PRIVATE, Distribution


def notes(root: Path, ours: Sequence[Distribution]) -> Iterator[str]:
    """What is still open."""
    version = ours[0].version
    if not has_section((root / "CHANGELOG.md").read_text(), version):
        yield f"CHANGELOG.md has no section for {version}"
    if run("git", "status", "--porcelain", cwd=root):
        yield "the working tree has changes that are in no commit"
    without_address = [
        each.name for each in ours if each.name not in PRIVATE and "urls" not in each.project
    ]
    if without_address:
        yield f"no address of the repository ([project.urls]) in {', '.join(without_address)}"


def has_section(changelog: str, version: str) -> bool:
    """Whether the changelog says what a version brings."""
    return re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE) is not None
