"""Nodes that are child processes: started, killed, paused and wiped by the suite, without root.

A process lives no longer than the suite: it is killed when its context ends, and by the kernel if
the suite itself is killed. Linux only, as pausing is checked in /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from formal_cluster_conformance.declaration import Address

_LAUNCHER: Final = Path(__file__).with_name("_die_with_parent.py")
_POLL_S: Final = 0.01
_LOG_SHOWN: Final = 2_000
_GIVEN_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_UNPRIVILEGED: Final = 10_000


class NodeFailed(Exception):
    """A node did not do what it was told to. The message has the end of its output."""


class ProcessNode:
    """A server that runs as a child process; see `declaration.Node`.

    Args:
        name: For reports, and for the file that takes its output.
        command: The program and its arguments.
        address: Where it listens.
        data: The directory with all that it keeps; emptied by `restart(wipe=True)`.
        log: The file that takes its output; by default beside `data`.
        environment: Variables to add to this process's own.

    Attributes:
        command: As above, for the next start.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        address: Address,
        *,
        data: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.data = data
        self.log = log or data.with_name(f"{data.name}.log")
        self.command = [str(part) for part in command]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()

    async def restart(self, *, wipe: bool = False) -> None:
        """Start it, for the first time or after `kill`; returns before it serves.

        Raises:
            NodeFailed: It runs.
        """
        if self.running:
            raise NodeFailed(f"{self.name} runs already; kill it first")
        if wipe:
            shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True, exist_ok=True)
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  it returns after the fork
                [*launch, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    async def kill(self) -> None:
        """SIGKILL, and wait for the end. Does nothing to one that has ended."""
        if self._process is None:
            return
        self._process.kill()
        while self._process.poll() is None:
            await asyncio.sleep(_POLL_S)

    async def pause(self) -> None:
        """SIGSTOP, and wait until every thread has stopped."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        while not _stands_still(self._process.pid):
            await asyncio.sleep(_POLL_S)

    async def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def wait_listening(self, within_s: float = 20.0) -> None:
        """Wait until this process accepts connections at its address.

        Raises:
            NodeFailed: It ended, or did not in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.running:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(*self.address)
                        writer.close()
                        return
                    await asyncio.sleep(_POLL_S)
        raise NodeFailed(f"{self.name} does not listen at {self.address}:\n{self.output()}")

    def output(self) -> str:
        """The end of what it has printed."""
        return self.log.read_text(errors="replace")[-_LOG_SHOWN:] if self.log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if not self.running:
            raise NodeFailed(f"{self.name} has ended:\n{self.output()}")
        assert self._process is not None
        self._process.send_signal(number)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports of `host` that nobody listens on at this moment.

    They are none of those that the kernel gives to whoever asks for any: so nobody is given one of
    them between this moment and the one at which it is used.
    """
    given_from = int(_GIVEN_PORTS.read_text().split()[0])
    ports: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = random.randrange(_UNPRIVILEGED, given_from)
            with contextlib.suppress(OSError):
                ports[port] = held.enter_context(socket.create_server((host, port)))
        return list(ports)


def free_port(host: str = "127.0.0.1") -> int:
    """One of `free_ports`."""
    return free_ports(1, host)[0]


def _stands_still(pid: int) -> bool:
    return all(_state(thread) in "TtZX" for thread in Path(f"/proc/{pid}/task").iterdir())


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
