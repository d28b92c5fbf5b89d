"""Where in a policy something is wrong, and how that is told to its author.

All of a set's findings are collected before it is refused, so that one edit can mend them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from formal_cluster.errors import PolicyLoadError


class Location(NamedTuple):
    """A place in a file. Lines and columns count from 1; a column is a character."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to refuse a policy set.

    Attributes:
        where: A `Location`, or the path of a file or directory as a whole.
        message: What is wrong and how to mend it.
        text: The source line, for the caret; empty when there is none to show.
    """

    where: Location | str
    message: str
    text: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}"
        if not self.text or isinstance(self.where, str):
            return head
        gutter = " " * len(str(self.where.line))
        # Tabs are kept, so that the caret stands below its character in any terminal.
        indent = "".join(c if c == "\t" else " " for c in self.text[: self.where.column - 1])
        return f"{head}\n  {self.where.line} | {self.text}\n  {gutter} | {indent}^"


class PolicySetRefused(PolicyLoadError):
    """A policy set was refused.

    Attributes:
        findings: Every reason, ordered by file and position.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(set(findings), key=_order))
        super().__init__("\n".join(map(str, self.findings)))


def _order(finding: Finding) -> tuple[str, int, int, str]:
    if isinstance(finding.where, str):
        return (finding.where, 0, 0, finding.message)
    return (*finding.where, finding.message)
