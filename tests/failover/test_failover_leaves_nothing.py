"""A failover run that is interrupted, however rudely, leaves no process and no namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "src"

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(600)]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(home: Path) -> dict[int, str]:
    """Those that have something to do with the run, or live in its network namespaces."""
    ours = {pid: line for pid, line in command_lines() if str(home) in line}
    spaces = {network_of(pid) for pid in ours} - {None, network_of(os.getpid())}
    return ours | {pid: line for pid, line in command_lines() if network_of(pid) in spaces}


def network_of(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return None


def command_lines() -> Iterator[tuple[int, str]]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if line:
                    yield int(directory.name), line


@pytest.mark.parametrize(
    ("how", "bed"),
    [
        (signal.SIGINT, "namespaces"),
        (signal.SIGKILL, "namespaces"),
        (signal.SIGTERM, "loopback"),
    ],
)
def test_an_interrupted_run_leaves_nothing(how: signal.Signals, bed: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    more = ["--loopback"] if bed == "loopback" else []
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "formal_cluster_failover", "cold-start-1"),
            *("--home", str(home), *more),
        ],
        cwd=SOURCE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: list(home.glob("**/member/wal/*.wal")) or run.poll() is not None)
        assert run.poll() is None
        began = processes_of(home)
        assert any("etcd" in line.split(" ")[0] for line in began.values())
        # As a terminal does it, and as a process manager does.
        (os.killpg if how is signal.SIGINT else os.kill)(run.pid, how)
        assert 0 != run.wait(100)
    finally:
        run.kill()
        run.wait()
    until(lambda: not processes_of(home))
    until(lambda: not {pid for pid, line in command_lines() if began.get(pid) == line})
