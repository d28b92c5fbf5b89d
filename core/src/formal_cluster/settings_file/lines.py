"""On which line of a TOML file each key stands. Pure; used only to tell where a problem is.

`tomllib` keeps no positions. But a TOML file is a sequence of statements, each of which parses on
its own, so reading them one after another gives exact lines without a second parser.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from formal_cluster.settings_file.env import KeyPath


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each key, table and array element of valid TOML starts."""
    lines: dict[KeyPath, int] = {}
    elements: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement, content in _statements(text):
        paths = list(_paths(content))
        if statement.lstrip().startswith("["):
            is_array = statement.lstrip().startswith("[[")
            table = _header(paths, elements, is_array=is_array)
            lines.setdefault(table, line)
        else:
            for path in paths:
                lines.setdefault((*table, *path), line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    start, pending = 1, ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        pending = f"{pending}\n{line}" if pending else line
        try:
            content = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue  # the statement goes on in the next line
        yield start, pending, content
        start, pending = number + 1, ""


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


def _header(paths: list[KeyPath], elements: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The table that a `[header]` opens; each array of tables on the way means its last element."""
    keys = [part for part in max(paths, key=len) if isinstance(part, str)]
    table: KeyPath = ()
    for position, key in enumerate(keys, start=1):
        table = (*table, key)
        if is_array and position == len(keys):
            elements[table] = elements.get(table, -1) + 1
        if table in elements:
            table = (*table, elements[table])
    return table
