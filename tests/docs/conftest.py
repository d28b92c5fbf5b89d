"""The pages of the documentation, cut into their fenced blocks, and who runs which of them.

    blocks_of(page)   the page's blocks
    inventory         `inventory.toml`: who runs which block, or why nobody does
    installed         installs a package that a page shows, and runs `formal-cluster` with it

A block that no check can be made for is preceded by `<!-- unchecked: why -->`; the tests list them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

_OPENING = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w-]*) *(?P<attributes>.*)")
_TITLE = re.compile(r'title="([^"]+)"')
_UNCHECKED = re.compile(r" *<!-- unchecked: (.+) -->")
_READ = {"toml", "rego", "yaml", "hcl"}


@dataclass(frozen=True)
class Block:
    """One fenced block. `place` is `page:line`; `title` names the file that it is, if any."""

    place: str
    language: str
    title: str | None
    text: str
    unchecked: str | None

    @property
    def is_to_be_run(self) -> bool:
        """Whether a reader types, runs or compares it. What only a program reads is read by that
        program in `test_docs_blocks.py`, and installations are made by `tests/test_wheels.py`."""
        only_installs = re.fullmatch(r"(pip install \S+\n)+", self.text) is not None
        return not (self.language in _READ or self.unchecked or only_installs)


def _blocks(page: Path) -> list[Block]:
    found = []
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    before = ""
    for number, line in lines:
        opening = _OPENING.fullmatch(line)
        if opening is None:
            before = line if line.strip() else before
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == opening["fence"]:
                break
            body.append(inner)
        else:
            raise AssertionError(f"{page}:{number}: the block never ends")
        title, marker = _TITLE.search(opening["attributes"]), _UNCHECKED.fullmatch(before)
        found.append(
            Block(
                f"{page.relative_to(ROOT)}:{number}",
                opening["language"],
                title[1] if title else None,
                textwrap.dedent("\n".join(body)) + "\n",
                marker[1] if marker else None,
            )
        )
        before = ""
    return found


@pytest.fixture
def blocks_of() -> Callable[[Path], list[Block]]:
    return _blocks


class Inventory:
    """Who runs which block. See `inventory.toml`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.walked: dict[str, str] = document["walked"]
        self.run_elsewhere: dict[str, dict[str, str]] = document["run_elsewhere"]
        self.not_run: dict[str, dict[str, str]] = document["not_run"]
        self.symptoms: dict[str, str] = document["symptoms"]

    def excuses(self, page: Path) -> dict[str, str]:
        """What a walk of the page leaves out: how those blocks begin, and why."""
        name = str(page.relative_to(ROOT))
        return self.run_elsewhere.get(name, {}) | self.not_run.get(name, {})


@pytest.fixture(scope="session")
def inventory() -> Inventory:
    return Inventory(tomllib.loads((Path(__file__).parent / "inventory.toml").read_text()))


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., Callable[[str], subprocess.CompletedProcess[str]]]:
    """Puts modules and metadata where an installation leaves them, below `tmp_path`.

    What it gives back runs a command line of the page with them.
    """

    def install(
        package: str, files: Mapping[str, str], project: Mapping[str, Any]
    ) -> Callable[[str], subprocess.CompletedProcess[str]]:
        metadata = tmp_path / f"{package}-{project['version']}.dist-info"
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
        directory = tmp_path / package
        directory.mkdir()
        (directory / "__init__.py").touch()
        for name, text in files.items():
            (directory / name).write_text(text)
        return run

    def run(line: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(line)
        assert "formal-cluster" == program
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, "-m", "formal_cluster", *arguments],
            cwd=tmp_path.parent,  # not `tmp_path` itself, or it would be on the path twice
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return install
