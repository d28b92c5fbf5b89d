"""One connector of the demonstration: its files, its process, and what it says of itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from formal_cluster_demo.errors import DemoError
from formal_cluster_demo.process_table import descendants
from formal_cluster_demo.processes import Process, Processes

POLICIES = Path(__file__).parent / "policies"
_LAST_LINES = 5
_LEAVE_WITHIN_S = 15.0


@dataclass
class Connector:
    """An instance and its home directory."""

    name: str
    address: str
    port: int
    home: Path
    _process: Process | None = field(default=None, repr=False)
    _log_start: int = field(default=0, repr=False)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.address}:{self.port}"

    @property
    def data_dir(self) -> Path:
        """Its etcd's data directory."""
        return self.home / "etcd"

    @property
    def log(self) -> Path:
        """Its JSON log, all its lives in one file."""
        return self.home / "connector.log"

    def configure(self, all_of_them: Sequence[Connector]) -> None:
        """Write its configuration file."""
        self.home.mkdir()
        listed = ",\n".join(
            f"  {{ id = {_toml(c.name)}, address = {_toml(c.address)} }}" for c in all_of_them
        )
        (self.home / "connector.toml").write_text(f"""\
[discovery.static]
self = {_toml(self.name)}
instances = [
{listed},
]

[store.etcd]
data_dir = {_toml(self.data_dir)}

[[counter]]
name = "access_count"
grade = "strict"
on_degraded = "local"

[policy]
paths = [{_toml(POLICIES)}]

[log]
format = "json"
decisions = {_toml(self.home / "decisions.jsonl")}
""")

    def start(self, processes: Processes, upstream: str) -> None:
        """Start its process; it is not ready when this returns."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        options = {
            "--config": str(self.home / "connector.toml"),
            "--upstream": upstream,
            "--host": self.address,
            "--port": str(self.port),
        }
        command = [sys.executable, "-m", "formal_cluster_demo.connector"]
        command += [word for option in options.items() for word in option]
        ours = {k: v for k, v in os.environ.items() if not k.startswith("FORMAL_CLUSTER_")}
        self._process = processes.start(command, self.log, ours)

    def stop(self) -> None:
        """SIGTERM: it leaves the cluster and ends."""
        process = self._running()
        process.terminate()
        process.wait(_LEAVE_WITHIN_S)

    def kill(self) -> dict[int, str]:
        """SIGKILL its Python and its etcd; what was killed, by process id."""
        process = self._running()
        children = descendants(process.pid)
        process.kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):  # it dies with its Python
                os.kill(pid, signal.SIGKILL)
        return {process.pid: "python", **children}

    def wipe(self) -> None:
        """Remove its etcd's data."""
        shutil.rmtree(self.data_dir)

    def spoil(self) -> None:
        """Put a regular file where its data directory should be."""
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.data_dir.write_text("not a directory\n")

    def view(self) -> dict[str, Any]:
        """The cluster as it sees it; state `not answering` while it starts.

        Raises:
            DemoError: Its process has ended.
        """
        return self._fetch("/-/cluster")

    def ready(self) -> dict[str, Any]:
        """Its readiness, as a load balancer would ask for it.

        Raises:
            DemoError: Its process has ended.
        """
        return self._fetch("/-/ready")

    def _fetch(self, path: str) -> dict[str, Any]:
        try:
            answer = httpx.get(self.url + path, timeout=5, trust_env=False)
        except httpx.TransportError:
            status = self._running().exit_status
            if status is not None:
                raise DemoError(
                    f"{self.name} ended with status {status}; its last words:\n"
                    + "\n".join(self.log.read_text().splitlines()[-_LAST_LINES:])
                ) from None
            return {"state": "not answering", "members": [], "ready": False, "reason": None}
        if answer.headers.get("content-type") != "application/json":
            raise DemoError(
                f"{self.name} answered {path} with {answer.status_code}; see {self.log}"
            )
        document: dict[str, Any] = answer.json()
        return document

    def _running(self) -> Process:
        if self._process is None:
            raise DemoError(f"{self.name} has not been started")
        return self._process

    def warnings(self) -> list[dict[str, Any]]:
        """Warnings and errors logged since it was last started."""
        lines = self.log.read_bytes()[self._log_start :].decode().splitlines()
        records = (json.loads(line) for line in lines if line.startswith("{"))
        return [record for record in records if record["level"] in {"warning", "error", "critical"}]


def _toml(value: str | Path) -> str:
    return json.dumps(str(value))
