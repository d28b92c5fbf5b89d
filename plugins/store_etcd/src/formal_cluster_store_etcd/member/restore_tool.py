"""The program that makes a data directory of a snapshot: etcdutl, or etcdctl before etcd 3.6.

It must be of etcd's own minor version: the directory it makes has that version's layout.

Newer ones could raise the revision, so that none is ever given twice, but only together with
discarding all history: and with it the counters' log since their last snapshot. The cluster's new
id already tells readers that another store answers, so revisions go on from the database's.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from formal_cluster_store_etcd.member.binary import Binary, ask, is_program
from formal_cluster_store_etcd.member.etcd_command import environment
from formal_cluster_store_etcd.member.failures import CannotStart

_PROGRAMS: Final = ("etcdutl", "etcdctl")
_VERSION: Final = re.compile(r"^etcd(?:utl|ctl) version: (\d+)\.(\d+)\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RestoreTool:
    """A program that can restore."""

    path: Path

    def command(
        self, database: Path, data_dir: Path, *, name: str, peer_url: str, token: str
    ) -> tuple[str, ...]:
        """The command that makes `data_dir` the directory of a new cluster's only member.

        Args:
            database: A snapshot, or the database of a stopped etcd.
            token: Must be new: the cluster's id is made of it.
        """
        return (
            *(str(self.path), "snapshot", "restore", str(database)),
            "--skip-hash-check",  # only a snapshot has one; whoever has a snapshot checks it
            *("--data-dir", str(data_dir)),
            *("--name", name),
            *("--initial-cluster", f"{name}={peer_url}"),
            *("--initial-cluster-token", token),
            *("--initial-advertise-peer-urls", peer_url),
        )


async def find_restore_tool(binary: Binary) -> RestoreTool:
    """Search beside the etcd program, then on PATH.

    Raises:
        CannotStart: There is none of etcd's minor version.
    """
    others: list[str] = []
    for candidate in _candidates(binary.path.parent):
        match = _VERSION.search(await _ask(candidate, "version"))
        is_of_it = match is not None and tuple(map(int, match.groups())) == binary.version[:2]
        if is_of_it and "--data-dir" in await _ask(candidate, "snapshot", "restore", "--help"):
            return RestoreTool(candidate)
        others.append(f"{candidate} ({match[1]}.{match[2]})" if match else str(candidate))
    minor = f"{binary.version.major}.{binary.version.minor}"
    wanted = "etcdctl" if binary.version < (3, 5) else "etcdutl"
    raise CannotStart(
        f"restoring data needs {wanted} {minor}, the version of {binary.path}; "
        f"{'found only ' + ', '.join(others) if others else 'none was found'}. Put it beside etcd "
        "or on PATH (Debian: apt-get install etcd-client)"
    )


async def run_restore(command: tuple[str, ...]) -> None:
    """Run a tool's command to its end; it is killed when the caller is cancelled.

    Raises:
        CannotStart: It failed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(),
        )
    except OSError as error:
        raise CannotStart(f"{command[0]} cannot be run: {error.strerror}") from error
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = output.decode(errors="replace").strip().rpartition("\n")[2]
        raise CannotStart(
            f"{command[0]} could not restore the data (status {process.returncode}): {last}"
        )


def _environment() -> dict[str, str]:
    """The environment for the tool; etcdctl reads each of its options from it, too."""
    inherited = environment(os.environ).items()
    kept = {name: value for name, value in inherited if not name.startswith("ETCDCTL_")}
    return {**kept, "ETCDCTL_API": "3"}


async def _ask(program: Path, *arguments: str) -> str:
    """Its answer; nothing of one that cannot be run."""
    try:
        return await ask(program, *arguments, env=_environment())
    except CannotStart:
        return ""


def _candidates(beside: Path) -> Iterator[Path]:
    yield from (beside / name for name in _PROGRAMS if is_program(beside / name))
    on_path = (shutil.which(name) for name in _PROGRAMS)
    yield from (Path(found) for found in on_path if found is not None)
