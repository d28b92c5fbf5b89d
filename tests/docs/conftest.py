"""The pages of the documentation, cut into their fenced blocks.

A block that no check can be made for is preceded by `<!-- unchecked: why -->`; the tests list them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_OPENING = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w-]*) *(?P<attributes>.*)")
_TITLE = re.compile(r'title="([^"]+)"')
_UNCHECKED = re.compile(r" *<!-- unchecked: (.+) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block. `place` is `page:line`; `title` names the file that it is, if any."""

    place: str
    language: str
    title: str | None
    text: str
    unchecked: str | None


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
