"""Policy files: finding them, reading them, and what is refused before they are parsed.

A file is read with a size limit, and its brackets are counted first: the parser takes four times as
long for every two further levels of array or object literals, so sixteen levels already cost
seconds.
"""

from __future__ import annotations

import errno
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from formal_cluster.policy.findings import Finding, Location, PolicySetRefused

MAX_BYTES = 1 << 20
MAX_NESTING = 12

# What may hold a bracket that is none: strings (an escaped quote does not end one), raw strings,
# comments. An unterminated one runs to the end of the line or file; the parser will tell.
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"?|`[^`]*`?|#[^\n]*|[\[\]{}]|\n')


@dataclass(frozen=True)
class Source:
    """One Rego file as read.

    Attributes:
        name: Path below the configured directory, unique in its set; decisions name it.
        path: Path as the operator gave it; findings name it.
    """

    name: str
    path: str
    text: str

    @cached_property
    def _raw(self) -> bytes:
        return self.text.encode()

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def _line_starts(self) -> list[int]:
        return list(accumulate((len(line.encode()) + 1 for line in self._lines), initial=0))

    def line(self, number: int) -> str:
        """A line's text without its end; empty beyond the last one."""
        return self._lines[number - 1].rstrip("\r") if 0 < number <= len(self._lines) else ""

    def slice(self, start: int, end: int) -> str:
        """The text between two byte offsets."""
        return self._raw[start:end].decode()

    def at_offset(self, offset: int) -> Location:
        """The place of a byte."""
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        return Location(self.path, line, len(self.slice(start, offset)) + 1)

    def at_column(self, line: int, column: int) -> Location:
        """The place of the parser's column, which counts bytes, and a tab as four of them."""
        character = 1
        for text in self.line(line):
            column -= 4 if text == "\t" else len(text.encode())
            if column < 1:
                break
            character += 1
        return Location(self.path, line, character)

    def finding(self, at: Location, message: str) -> Finding:
        """A finding that shows the line it is about."""
        return Finding(at, message, self.line(at.line))


def read_sources(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Read the files named, and all `*.rego` below the directories named, in a stable order.

    `*_test.rego` and everything hidden is left out; a file found twice is read once.

    Raises:
        PolicySetRefused: A path does not exist, a directory holds no policy, or a file is too
            large, too deeply nested, unreadable or not UTF-8.
    """
    findings: list[Finding] = []
    sources: dict[tuple[int, int], Source] = {}
    names: set[str] = set()
    for file, name in policy_files(paths, findings):
        try:
            identity, raw = _read(file)
        except OSError as error:
            findings.append(_unreadable(file, error))
            continue
        if identity not in sources:
            source = _source(str(file) if name in names else name, file, raw, findings)
            if source is not None:
                sources[identity] = source
                names.add(source.name)
    if findings:
        raise PolicySetRefused(findings)
    return tuple(sources.values())


def policy_files(paths: Sequence[Path], findings: list[Finding]) -> Iterator[tuple[Path, str]]:
    """Each policy file with its name below the path it was found through.

    A path that cannot be searched, or holds no policy, is added to `findings`.
    """
    for path in paths:
        try:
            below = _rego_files(path) if path.is_dir() else None
        except OSError as error:
            findings.append(_unreadable(path, error))
            continue
        if below is None:
            yield path, path.name
        elif not below:
            findings.append(
                Finding(
                    str(path),
                    "the directory holds no *.rego file (tests aside); put policies there or "
                    "change policy.paths",
                )
            )
        else:
            yield from ((path / name, name.as_posix()) for name in below)


def _rego_files(directory: Path) -> list[Path]:
    # Hidden directories: a mounted Kubernetes ConfigMap keeps its old and new copies in some.
    return sorted(
        name
        for name in (file.relative_to(directory) for file in directory.rglob("*.rego"))
        if not name.name.endswith("_test.rego")
        and not any(part.startswith(".") for part in name.parts)
    )


def _read(file: Path) -> tuple[tuple[int, int], bytes]:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")  # a pipe would keep us waiting
    with file.open("rb") as stream:
        return (status.st_dev, status.st_ino), stream.read(MAX_BYTES + 1)


def _unreadable(path: Path, error: OSError) -> Finding:
    if isinstance(error, FileNotFoundError):
        return Finding(str(path), "no such file or directory; check policy.paths")
    return Finding(str(path), f"cannot be read ({error.strerror}); check what it is and who may")


def _source(name: str, file: Path, raw: bytes, findings: list[Finding]) -> Source | None:
    finding: Finding | None
    if len(raw) > MAX_BYTES:
        finding = Finding(str(file), f"larger than {MAX_BYTES} bytes; split it or trim its data")
    else:
        try:
            source = Source(name, str(file), raw.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            finding = Finding(str(file), f"not UTF-8 at byte {error.start}; save it as UTF-8")
        else:
            finding = nesting_finding(source)
            if finding is None:
                return source
    findings.append(finding)
    return None


def nesting_finding(source: Source) -> Finding | None:
    """The first bracket that opens one level too many, if any does."""
    depth = 0
    line, line_start = 1, 0
    for match in _TOKEN.finditer(source.text):
        token = match[0]
        if token in {"[", "{"}:
            depth += 1
            if depth > MAX_NESTING:
                at = Location(source.path, line, match.start() - line_start + 1)
                return source.finding(
                    at, f"brackets are nested deeper than {MAX_NESTING}; name the inner parts"
                )
        elif token in {"]", "}"}:
            depth -= 1
        elif "\n" in token:
            line += token.count("\n")
            line_start = match.start() + token.rindex("\n") + 1
    return None
