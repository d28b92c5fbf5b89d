"""One instance: `formal-cluster serve` with its settings, its disk, its processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from formal_cluster_failover.beds import Place, Ports
from formal_cluster_store_etcd.member import launcher

POLICY = """package formal.v2

import future.keywords.if

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.bucket.access_count.last_hour > 5
}

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.table.name == "ledger"
  input.table.strict_count.last_minute > 5
}

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.table.strict_count.last_hour > 1000000000
}
"""
CONFIG = """
{discovery}

[store.etcd]
data_dir = "{data_dir}"
client_port = {ports.client}
peer_port = {ports.peer}
{store}

[policy]
paths = ["{policy}"]

[server]
host = "{place.api}"
port = {ports.api}

[log]
format = "json"

[[counter]]
name = "access_count"

[[counter]]
name = "strict_count"
entity = "table"
grade = "strict"
"""


class Instance:
    """One instance. It runs from `start` until something ends it.

    Attributes:
        id: As discovery names it.
        home: Its directory, with its log and, unless set otherwise, its data.
        leaving: Whether it was told to stop: it sends requests away from then on.
        gone: When its process, its etcd or its network was taken from it.
        etcdctl: What etcdctl has to be told to be let in; nothing without TLS.
    """

    def __init__(self, name: str, id_: str, place: Place, ports: Ports, home: Path) -> None:
        self.name = name
        self.id = id_
        self.place = place
        self.ports = ports
        self.home = home
        self.home.mkdir(parents=True, exist_ok=True)
        self.data_dir = home / "default.etcd"
        self.log = home / f"{name}.log"
        self.leaving = False
        self.gone: list[float] = []
        self.etcdctl: tuple[str, ...] = ()
        self._environment: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its HTTP API."""
        return f"http://{self.place.api}:{self.ports.api}"

    @property
    def running(self) -> bool:
        """Whether its Python runs."""
        return self._process is not None and self._process.poll() is None

    def configure(
        self, discovery: str, store: str, policy: Path, environment: Mapping[str, str]
    ) -> None:
        """Write its settings.

        Args:
            discovery: The settings' part about discovery, in TOML.
            store: More of `[store.etcd]`.
            environment: Variables that it has besides those of this process.
        """
        self._environment = environment
        text = CONFIG.format(
            discovery=discovery,
            data_dir=self.data_dir,
            ports=self.ports,
            place=self.place,
            store=store,
            policy=policy,
        )
        (self.home / f"{self.name}.toml").write_text(text)

    def start(self) -> None:
        """Start it. It ends with this process, however that ends."""
        self.leaving = False
        command = [
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"),
            *(*self.place.prefix, sys.executable, "-m", "formal_cluster"),
            *("serve", "--config", str(self.home / f"{self.name}.toml")),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_outside_environment(), **self._environment},
                start_new_session=True,
            )

    def etcd_pids(self) -> list[int]:
        """The etcd processes that use this instance's directory."""
        return [pid for pid, line in _etcds() if str(self.data_dir) in line]

    def kill(self) -> None:
        """SIGKILL Python and etcd at once, as when a machine dies."""
        self._kill([*self._pids(), *self.etcd_pids()])
        self.reap()

    def kill_python(self) -> None:
        """SIGKILL Python alone."""
        self._kill(self._pids())
        self.reap()

    def kill_etcd(self) -> None:
        """SIGKILL etcd alone."""
        self._kill(self.etcd_pids())

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self.leaving = True
        self.gone.append(time.monotonic())
        if self._process is not None:
            self._process.terminate()

    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def reap(self) -> None:
        """Make sure that it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        """Lose its disk."""
        shutil.rmtree(self.data_dir)

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(no log)"
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(line[:400] for line in tail)

    def _pids(self) -> list[int]:
        return [self._process.pid] if self._process is not None and self.running else []

    def _kill(self, victims: list[int]) -> None:
        self.gone.append(time.monotonic())
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _outside_environment() -> dict[str, str]:
    """Ours, without what would be taken for settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FORMAL_CLUSTER_")}


def _etcds() -> Iterator[tuple[int, str]]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "etcd" in line.split(" ")[0]:
                    yield int(directory.name), line
