"""Start the demonstration's processes and leave none behind.

Each is started by the etcd store's launcher, so the kernel kills it when this process ends, however
that happens (hazard: start them from the main thread, see there). Each has a session of its own, so
that Ctrl-C reaches only the demonstration, which then stops them in order.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from formal_cluster_store_etcd.member import launcher

_STOP_WITHIN_S = 5.0


class Process:
    """One running child; its output goes to a file. The command starts with an absolute path."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        launch = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*launch, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._popen.poll()

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait."""
        self._popen.terminate()

    def wait(self, within_s: float) -> None:
        """Wait for its end; SIGKILL it when that takes too long."""
        try:
            self._popen.wait(max(within_s, 0))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()


class Processes:
    """All children; leaving the context stops those that still run."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop_all()

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start a command; see `Process`."""
        process = Process(command, log, environment)
        self._started.append(process)
        return process

    def stop_all(self) -> None:
        """SIGTERM all at once, SIGKILL those that take too long. Idempotent."""
        for process in self._started:
            process.terminate()
        deadline = time.monotonic() + _STOP_WITHIN_S
        for process in self._started:
            process.wait(deadline - time.monotonic())
