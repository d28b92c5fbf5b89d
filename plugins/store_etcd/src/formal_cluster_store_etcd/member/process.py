"""One run of etcd as a child process that never outlives this one.

The event loop must run in a thread that lives as long as etcd shall; `launcher` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from formal_cluster.errors import ConfigError
from formal_cluster_store_etcd.member.etcd_log import LineSplitter, LogForwarder
from formal_cluster_store_etcd.member.failures import CannotStart

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_CHUNK: Final = 1 << 16


def require_linux(platform: str = sys.platform) -> None:
    """Refuse to run where a child could outlive its supervisor.

    Raises:
        ConfigError: This is not Linux.
    """
    if platform != "linux":
        raise ConfigError(
            f"the embedded etcd runs on Linux only (this is {platform}): elsewhere it could not be "
            "kept from outliving this process. Choose another store.driver, or run in a container"
        )


class EtcdProcess:
    """A running etcd. Make it with `launch`."""

    def __init__(self, process: asyncio.subprocess.Process, log: LogForwarder) -> None:
        self._process = process
        self._log = log
        self._reader = asyncio.create_task(self._forward_log())

    @classmethod
    async def launch(
        cls, command: Sequence[str], environment: Mapping[str, str], logger: logging.Logger
    ) -> Self:
        """Start etcd.

        Raises:
            CannotStart: The process could not be started.
        """
        spawning = asyncio.create_task(
            asyncio.create_subprocess_exec(
                # Isolated and without site-packages: it starts in a few milliseconds.
                *(sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), "--", *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                # A terminal's Ctrl-C reaches this process alone, which then stops etcd.
                start_new_session=True,
            )
        )
        try:
            return cls(await asyncio.shield(spawning), LogForwarder(logger))
        except asyncio.CancelledError:
            # Cancelled half-way, it would leave a child to nobody.
            with contextlib.suppress(OSError):
                await cls(await spawning, LogForwarder(logger)).kill()
            raise
        except OSError as error:
            raise CannotStart(f"cannot start a process: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The process id of etcd itself."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status; negative for a signal, None while it runs."""
        return self._process.returncode

    @property
    def complaints(self) -> tuple[str, ...]:
        """The last warnings and errors it logged, oldest first."""
        return self._log.complaints

    async def wait(self) -> int:
        """Wait until it has ended and its log is read to the end; its exit status."""
        await asyncio.shield(self._reader)
        status = await self._process.wait()
        await asyncio.sleep(0)  # asyncio closes what belongs to it in its next turn
        return status

    async def stop(self, grace_s: float) -> int:
        """Ask it to stop, kill it after `grace_s` seconds; its exit status."""
        self._signal_unless_ended("terminate")
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            return await self.kill()
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def kill(self) -> int:
        """End it at once, as a power failure would; its exit status.

        A caller that is cancelled meanwhile waits for the end too: it comes in a moment, and nobody
        else would.
        """
        self._signal_unless_ended("kill")
        ending = asyncio.create_task(self.wait())
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    def _signal_unless_ended(self, how: str) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                getattr(self._process, how)()

    async def _forward_log(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        splitter = LineSplitter()
        while data := await stream.read(_CHUNK):
            for line in splitter.feed(data):
                self._log.accept(line)
        for line in splitter.end():
            self._log.accept(line)
