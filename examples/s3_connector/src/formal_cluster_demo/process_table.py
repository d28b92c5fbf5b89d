"""Read other processes from /proc: who descends from whom, who still runs. Linux only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_GONE = (FileNotFoundError, ProcessLookupError)


def descendants(pid: int) -> dict[int, str]:
    """Children of `pid`, their children and so on: process id → command's name."""
    running = {other: (name, parent) for other, name, parent in _running()}
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {other for other, (_, parent) in running.items() if parent in parents}
        found.update({child: running[child][0] for child in children})
        parents = children
    return found


def naming(path: Path) -> dict[int, str]:
    """Other processes that have `path` in their command line: process id → command's name."""
    wanted, found = os.fsencode(path), {}
    for pid, name, _ in _running():
        with contextlib.suppress(*_GONE):
            if pid != os.getpid() and wanted in Path(f"/proc/{pid}/cmdline").read_bytes():
                found[pid] = name
    return found


def is_running(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    return any(pid == other for other, _, _ in _running())


def _running() -> Iterator[tuple[int, str, int]]:
    """Process id, name and parent of all but zombies."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except _GONE:
            continue
        head, _, tail = stat.rpartition(")")  # the name may hold spaces and parentheses
        state, parent = tail.split()[:2]
        if state not in "ZX":
            yield int(entry.name), head.partition("(")[2], int(parent)
