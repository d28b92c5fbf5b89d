"""Everything the demonstration runs: the S3 service, three connectors, their clients."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from formal_cluster_demo.errors import DemoError
from formal_cluster_demo.instance import Connector
from formal_cluster_demo.polling import poll
from formal_cluster_demo.processes import Processes
from formal_cluster_demo.traffic import Answer, Traffic

_WINDOW_S = 60.0


class Site:
    """What the steps act on."""

    def __init__(self, home: Path, addresses: Sequence[str], processes: Processes) -> None:
        self.home = home
        self.processes = processes
        self.traffic = Traffic()
        self.connectors = [
            Connector(f"connector-{n}", address, _free_port(address), home / f"connector-{n}")
            for n, address in enumerate(addresses, start=1)
        ]
        self.cluster_id: str | None = None
        self.killed: Connector | None = None
        self.block_ends = float("inf")
        """When alice's first hit leaves the minute (monotonic clock); until then she is blocked."""
        self._upstream_port = _free_port("127.0.0.1")

    @property
    def upstream(self) -> str:
        """URL of moto's S3 server."""
        return f"http://127.0.0.1:{self._upstream_port}"

    def start(self) -> None:
        """Start moto and the connectors; return when moto answers.

        Raises:
            DemoError: It does not.
        """
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1"]
        command += ["-p", str(self._upstream_port)]
        log = self.home / "moto.log"
        self.processes.start(command, log, os.environ)
        for connector in self.connectors:
            connector.configure(self.connectors)
            connector.start(self.processes, self.upstream)
        if not poll(self._upstream_answers, bool, within_s=120):
            raise DemoError(f"moto's S3 server did not start:\n{log.read_text()[-2000:]}")

    def _upstream_answers(self) -> bool:
        try:
            return httpx.get(f"{self.upstream}/moto-api/", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def read(self, user: str, connector: Connector, bucket: str) -> Answer:
        """Read the bucket's one object through a connector."""
        return self.traffic.read(user, connector.url, bucket)

    def alice_begins(self) -> None:
        """Her next access opens the window of `sensitive-bucket`."""
        self.block_ends = time.monotonic() + _WINDOW_S


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        port: int = server.getsockname()[1]
        return port
