"""One Redis and one etcd, each as it is shipped: what they did, and what can be done to them.

Redis runs on its built-in defaults, as Debian's package does but for its port and directory:
snapshots to disk now and then, no append-only file, so a crash forgets what came after the last
snapshot. etcd syncs every commit to disk before it answers. That difference is in every figure.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

_STARTS_WITHIN_S = 60
_GIVEN_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a store has done since it started.

    Attributes:
        requests: Messages or pipelines that clients sent (Redis: reads from sockets).
        operations: Commands run, in pipelines and scripts too (etcd: gets, puts and deletes, in
            transactions too, and the events of watches).
        bytes: Sent and received, as the store counts them.
        cpu_s: Processor time of the store.
    """

    requests: float
    operations: float
    bytes: float
    cpu_s: float

    def since(self, earlier: Traffic) -> Traffic:
        """The difference."""
        return Traffic(
            self.requests - earlier.requests,
            self.operations - earlier.operations,
            self.bytes - earlier.bytes,
            self.cpu_s - earlier.cpu_s,
        )


class StoreProcess(ABC):
    """A store in a directory of its own, on ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """How it is started; the same every time."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    @abstractmethod
    def traffic(self) -> Traffic:
        """What it has done so far."""

    @abstractmethod
    def bytes_held(self) -> int:
        """What its data takes."""

    def start(self) -> None:
        """Start it and wait until it serves."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not self.answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit((self.directory / "log").read_text()[-2_000:])
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; after SIGKILL, wait for its end."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait()

    def cpu_s(self) -> float:
        """Processor time used so far by the present process."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Redis(StoreProcess):
    """redis-server on its defaults."""

    def command(self) -> list[str]:
        return [_binary("redis-server"), "--port", str(self.port), "--dir", str(self.directory)]

    def answers(self) -> bool:
        try:
            with contextlib.closing(redis.Redis(port=self.port)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def traffic(self) -> Traffic:
        with contextlib.closing(redis.Redis(port=self.port)) as client:
            commands = client.info("commandstats")
            stats = client.info("stats")
        return Traffic(
            requests=stats["total_reads_processed"],
            operations=sum(
                figures["calls"] for name, figures in commands.items() if "info" not in name
            ),
            bytes=stats["total_net_input_bytes"] + stats["total_net_output_bytes"],
            cpu_s=self.cpu_s(),
        )

    def bytes_held(self) -> int:
        with contextlib.closing(redis.Redis(port=self.port)) as client:
            held: int = client.info("memory")["used_memory_dataset"]
        return held


class Etcd(StoreProcess):
    """A cluster of one etcd on its defaults, compacted as our embedded one is."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._peer_port = free_port()

    def command(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            _binary("etcd"),
            *("--data-dir", str(self.directory / "default.etcd")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
            *("--auto-compaction-mode", "periodic", "--auto-compaction-retention", "5m"),
            *("--logger", "zap", "--log-level", "error"),
        ]

    def answers(self) -> bool:
        try:
            return b'"true"' in self._get("/health")
        except OSError:
            return False

    def traffic(self) -> Traffic:
        metrics = self._metrics()
        return Traffic(
            requests=metrics["grpc_server_msg_received_total"],
            operations=sum(
                metrics[f"etcd_mvcc_{operation}_total"] for operation in ("range", "put", "delete")
            )
            + metrics["etcd_debugging_mvcc_events_total"],
            bytes=metrics["etcd_network_client_grpc_received_bytes_total"]
            + metrics["etcd_network_client_grpc_sent_bytes_total"],
            cpu_s=self.cpu_s(),
        )

    def bytes_held(self) -> int:
        return int(self._metrics()["etcd_mvcc_db_total_size_in_use_in_bytes"])

    def _metrics(self) -> dict[str, float]:
        """Every metric, summed over its labels."""
        summed: dict[str, float] = {}
        for line in self._get("/metrics").decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                summed[name] = summed.get(name, 0.0) + float(value)
        return summed

    def _get(self, path: str) -> bytes:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            body: bytes = answer.read()
        return body


@dataclass(frozen=True, slots=True)
class Stores:
    """Both, running."""

    redis: Redis
    etcd: Etcd


@contextlib.contextmanager
def stores() -> Iterator[Stores]:
    """Both, in directories that are removed afterwards."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "redis").mkdir()
        (directory / "etcd").mkdir()
        pair = Stores(Redis(directory / "redis"), Etcd(directory / "etcd"))
        try:
            pair.redis.start()
            pair.etcd.start()
            yield pair
        finally:
            pair.redis.stop()
            pair.etcd.stop()


def free_port() -> int:
    """A port that nobody listens on at this moment, and that the kernel gives to nobody else."""
    given_from = int(_GIVEN_PORTS.read_text().split()[0])
    while True:
        port = random.randrange(10_000, given_from)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"no {name} on PATH; run `make setup`")
    return found
