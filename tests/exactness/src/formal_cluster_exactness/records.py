"""The files that a worker writes: every answer it got, and every record that its watch delivered.

Rows have a fixed head, so that a file that ends in the middle of one, as a kill leaves it, is read
up to there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

_ANSWER = struct.Struct("<QQQIIBB")
_CHANGE = struct.Struct("<QHI")


class Outcome(IntEnum):
    """What became of an access that was decided."""

    ADMITTED = 1
    DENIED = 2


class Answer(NamedTuple):
    """One answer.

    Attributes:
        began: Log time, as the instance knew it, before it was asked.
        ended: The same after it was decided.
        revision: Of the record that the hit is in; of grade reserved, what its count was current
            to.
        hits: Those before it, as the counters said.
        kind: Index of the limit.
    """

    began: int
    ended: int
    revision: int
    subject: int
    hits: int
    kind: int
    outcome: Outcome


class Change(NamedTuple):
    """One change of one key of the log. The value of a deletion is empty."""

    revision: int
    key: bytes
    value: bytes


def write_answer(file: BinaryIO, answer: Answer) -> None:
    """Append it."""
    file.write(_ANSWER.pack(*answer))


def write_change(file: BinaryIO, change: Change) -> None:
    """Append it."""
    file.write(_CHANGE.pack(change.revision, len(change.key), len(change.value)))
    file.write(change.key + change.value)


def answers_written(path: Path) -> int:
    """How many answers a file holds."""
    return path.stat().st_size // _ANSWER.size if path.exists() else 0


def read_answers(path: Path) -> Iterator[Answer]:
    """Those written completely."""
    content = path.read_bytes()
    for row in _ANSWER.iter_unpack(content[: len(content) // _ANSWER.size * _ANSWER.size]):
        yield Answer._make((*row[:-1], Outcome(row[-1])))


def read_changes(path: Path) -> Iterator[Change]:
    """Those written completely."""
    content = path.read_bytes()
    at = 0
    while at + _CHANGE.size <= len(content):
        revision, key, value = _CHANGE.unpack_from(content, at)
        at += _CHANGE.size
        if at + key + value > len(content):
            return
        yield Change(revision, content[at : at + key], content[at + key : at + key + value])
        at += key + value
