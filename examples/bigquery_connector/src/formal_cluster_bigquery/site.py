"""Three clustered connectors in front of the stand-in for BigQuery, each a process of its own.

Every process is started by the etcd store's launcher, so the kernel kills it when this one ends,
however that happens (hazard: start them from the main thread, see there).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from formal_cluster_bigquery.jobs import NAMESPACE
from formal_cluster_store_etcd.member import launcher

POLICIES = Path(__file__).parent / "policies"
CONNECTOR = ("-m", "formal_cluster_bigquery.connector")
USERS = {f"{name}-token": name for name in ("alice", "bob", "hr", "support")}
_STARTED_WITHIN_S = 200.0


class SiteError(Exception):
    """What was started does not run."""


class Ports(NamedTuple):
    """Where an instance listens: its etcd for clients and for its peers, and the proxy."""

    client: int
    peer: int
    http: int


@dataclass
class Connector:
    """One instance: its ports, its directory, its process."""

    name: str
    address: str
    ports: Ports
    home: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.address}:{self.ports.http}"

    @property
    def entry(self) -> str:
        """It in a static list, in TOML."""
        return (
            f'{{ id = "{self.name}", address = "{self.address}", '
            f"client_port = {self.ports.client}, peer_port = {self.ports.peer} }}"
        )

    def configure(self, everyone: Sequence[Connector]) -> None:
        """Write its configuration and the users it knows."""
        self.home.mkdir()
        (self.home / "users.json").write_text(json.dumps(USERS))
        (self.home / "connector.toml").write_text(f"""\
[discovery.static]
self = "{self.name}"
instances = [{", ".join(each.entry for each in everyone)}]

[store.etcd]
data_dir = {json.dumps(str(self.home / "etcd"))}
client_port = {self.ports.client}
peer_port = {self.ports.peer}

[cache.{NAMESPACE}]
max_entries = 100_000
max_bytes = 67_108_864
ttl_seconds = 86_400
deadline_ms = 20_000

[policy]
paths = [{json.dumps(str(POLICIES))}]

[log]
format = "json"
decisions = {json.dumps(str(self.home / "decisions.jsonl"))}
""")

    def start(self, upstream: str, program: Sequence[str]) -> None:
        """Start its process; it is not ready when this returns."""
        options = {
            "--config": str(self.home / "connector.toml"),
            "--users": str(self.home / "users.json"),
            "--upstream": upstream,
            "--host": self.address,
            "--port": str(self.ports.http),
        }
        words = [word for option in options.items() for word in option]
        self._process = _start([*program, *words], self.home / "log")

    def kill(self) -> None:
        """SIGKILL its Python; its etcd dies with it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def state(self) -> Mapping[str, Any]:
        """The cluster as it sees it; {} while it does not answer.

        Raises:
            SiteError: Its process has ended.
        """
        if self._process is None or self._process.poll() is not None:
            raise SiteError(f"{self.name} has ended:\n{(self.home / 'log').read_text()[-2_000:]}")
        with contextlib.suppress(httpx.TransportError):
            answer: dict[str, Any] = httpx.get(f"{self.url}/-/cluster", trust_env=False).json()
            return answer
        return {}

    def serves_with(self, voters: int) -> bool:
        """Whether it answers, and sees so many healthy voters of its cluster."""
        state = self.state()
        members = state.get("members", []) if state.get("state") == "clustered" else []
        seen = sum(member["role"] == "voter" and bool(member["healthy"]) for member in members)
        return bool(state) and seen >= voters


class Site:
    """All processes; leaving the context kills those that still run.

    Args:
        program: What a connector runs, after the interpreter.
        voters: How many each connector has to see before they are used; 0: they need only answer.
    """

    def __init__(self, home: Path, program: Sequence[str] = CONNECTOR, *, voters: int = 3) -> None:
        self._home = home
        self._program = program
        self._voters = voters
        subnet = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(255)}"
        addresses = [f"{subnet}.{number}" for number in (1, 2, 3)]
        self.connectors = [
            Connector(f"connector-{n}", address, _free_ports(address), home / f"connector-{n}")
            for n, address in enumerate(addresses, start=1)
        ]
        self._upstream_host = f"{subnet}.4"
        self._upstream_port = _free_ports(self._upstream_host).http
        self._upstream: subprocess.Popen[bytes] | None = None

    @property
    def upstream(self) -> str:
        """The stand-in's URL."""
        return f"http://{self._upstream_host}:{self._upstream_port}"

    def __enter__(self) -> Self:
        """Start everything; returns when the cluster has formed.

        Raises:
            SiteError: It has not.
        """
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        module = ["-m", "formal_cluster_bigquery.local_bigquery", "--host", self._upstream_host]
        self._upstream = _start([*module, "--port", str(self._upstream_port)], self._home / "log")
        for connector in self.connectors:
            connector.configure(self.connectors)
            connector.start(self.upstream, self._program)
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while not all(connector.serves_with(self._voters) for connector in self.connectors):
            if time.monotonic() > deadline:
                states = [connector.state() for connector in self.connectors]
                raise SiteError(f"no cluster within {_STARTED_WITHIN_S} s: {states}")
            time.sleep(0.1)

    def _stop(self) -> None:
        running = [connector._process for connector in self.connectors]  # noqa: SLF001  its own
        for process in [*running, self._upstream]:
            if process is not None:
                process.kill()
                process.wait()


def _start(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    launch = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"]
    ours = {k: v for k, v in os.environ.items() if not k.startswith("FORMAL_CLUSTER_")}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launch, sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=ours,
        )


def _free_ports(address: str) -> Ports:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((address, 0))) for _ in range(3)]
        client, peer, http = (server.getsockname()[1] for server in servers)
        return Ports(client, peer, http)
