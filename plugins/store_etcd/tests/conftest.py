"""Real etcd processes for tests.

    etcd_binary   path of the etcd executable (FORMAL_CLUSTER_TEST_ETCD, else the one on PATH)
    etcd_single   one running member, this test's own
    etcd_cluster  three running members, this test's own
    calm_cluster  the same; the leader stays the leader for a while even if it is not heard of
    etcd_start    function that starts a one-member cluster with flags of your choice
    etcd_make     function that makes a member without starting it: a learner, TLS, ...
    authority     a certificate authority of the test run's own, which issues certificates
    strangers     another one
    eventually    polls a condition of the test, with a deadline

Each process listens on a random loopback address of its own, so no port is fixed and none can be
taken by another test run. It is killed and its directory removed when the test ends; if the test
run itself is killed, the kernel kills it (PDEATHSIG). That signal is tied to the *thread* that
started the process: call `start` and `restart` from the test itself, never in a worker thread.

`start`, `restart`, `kill`, `pause` and `resume` return at once and do not disturb an event loop;
`wait_ready` blocks for up to seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from formal_cluster_store_etcd.urls import Endpoint

START_DEADLINE_S = 60.0
ANSWER_S = 20.0


class EtcdProcess:
    """One etcd member: a process, its addresses and its data directory."""

    def __init__(
        self,
        binary: str,
        directory: Path,
        name: str,
        flags: Sequence[str],
        *,
        scheme: str,
        host: str | None,
    ) -> None:
        self.name = name
        self.flags = tuple(flags)
        self.scheme = scheme
        self.peer_scheme = "http"
        self.data_dir = directory / name
        self.log = directory / f"{name}.log"
        self.endpoint, self.peer = _free_addresses(host or _random_loopback())
        self.initial_cluster: str | None = None
        self.cluster_state = "new"
        self.token = directory.name
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client_url(self) -> str:
        return f"{self.scheme}://{self.endpoint}"

    @property
    def peer_url(self) -> str:
        return f"{self.peer_scheme}://{self.peer}"

    @property
    def itself(self) -> str:
        """Its entry in an initial cluster."""
        return f"{self.name}={self.peer_url}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; its data directory is kept from an earlier start."""
        assert not self.running
        command = [
            *("setpriv", "--pdeathsig", "KILL", self._binary),
            *("--name", self.name),
            *("--data-dir", str(self.data_dir)),
            *("--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url),
            *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
            *("--initial-cluster", self.initial_cluster or self.itself),
            *("--initial-cluster-state", self.cluster_state),
            *("--initial-cluster-token", self.token),
            *("--heartbeat-interval", "50", "--election-timeout", "500"),
            *self.flags,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    restart = start

    def kill(self) -> None:
        """SIGKILL, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """SIGTERM; `wait_stopped` or `kill` reaps it."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP every thread: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task")
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Remove the data of a stopped member."""
        assert not self.running
        shutil.rmtree(self.data_dir)

    def wait_ready(self) -> None:
        """Block until this very process serves and has a quorum."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._is_ready():
            if not self.running or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"etcd {self.name} did not start:\n{tail}")
            time.sleep(0.02)

    def ask(self, path: str, *, within: float = ANSWER_S, **request: Any) -> dict[str, Any]:
        """Call etcd's JSON gateway, e.g. `ask("maintenance/status")`."""
        call = urllib.request.Request(
            f"{self.client_url}/v3/{path}", data=json.dumps(request).encode(), method="POST"
        )
        trust_anyone = ssl._create_unverified_context() if self.scheme == "https" else None
        with urllib.request.urlopen(call, timeout=within, context=trust_anyone) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def compact(self, revision: int) -> None:
        """Discard the history before `revision`."""
        self.ask("kv/compaction", revision=revision, physical=True)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            self.ask("kv/range", within=1, key="AA==")
            answer = self.ask("cluster/member/list", within=1)
            own_id = answer["header"]["member_id"]
            names = {member["ID"]: member.get("name") for member in answer["members"]}
            assert self.name == names[own_id], "a stranger answers on this port"
            return self.running
        return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class EtcdCluster:
    """Members that were started together."""

    def __init__(self, members: Sequence[EtcdProcess]) -> None:
        self.members = list(members)
        everyone = ",".join(member.itself for member in members)
        for member in members:
            member.initial_cluster = everyone
            member.start()
        for member in members:
            member.wait_ready()

    @property
    def endpoints(self) -> list[Endpoint]:
        return [member.endpoint for member in self.members]

    def leader(self) -> int:
        """Index of the leader, asked of the members that run; blocks while there is none."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            for index, member in enumerate(self.members):
                with contextlib.suppress(OSError):
                    status = member.ask("maintenance/status", within=1)
                    if status["header"]["member_id"] == status.get("leader"):
                        return index
            time.sleep(0.02)
        raise AssertionError("the cluster has no leader")

    def kill(self, index: int) -> None:
        self.members[index].kill()

    def pause(self, index: int) -> None:
        self.members[index].pause()

    def resume(self, index: int) -> None:
        self.members[index].resume()

    def restart(self, index: int) -> None:
        """Start a killed member again; returns before it serves."""
        self.members[index].restart()


@pytest.fixture(scope="session")
def etcd_binary() -> str:
    binary = os.environ.get("FORMAL_CLUSTER_TEST_ETCD") or shutil.which("etcd")
    if binary is None:
        pytest.fail("no etcd on PATH: install it (Debian: apt-get install etcd-server)")
    return binary


@pytest.fixture
def etcd_make(etcd_binary):
    """`etcd_make(name, *flags, scheme="http", host=None)`: a member, not started yet."""
    with tempfile.TemporaryDirectory(prefix="fc-etcd-") as directory:
        made: list[EtcdProcess] = []

        def make(
            name: str, *flags: str, scheme: str = "http", host: str | None = None
        ) -> EtcdProcess:
            made.append(
                EtcdProcess(etcd_binary, Path(directory), name, flags, scheme=scheme, host=host)
            )
            return made[-1]

        try:
            yield make
        finally:
            for process in made:
                process.kill()


@pytest.fixture
def etcd_start(etcd_make):
    """`etcd_start(name, *flags, scheme="http", host=None)`: a running one-member cluster."""

    def start(name: str, *flags: str, scheme: str = "http", host: str | None = None) -> EtcdProcess:
        process = etcd_make(name, *flags, scheme=scheme, host=host)
        process.start()
        process.wait_ready()
        return process

    return start


@pytest.fixture
def etcd_single(etcd_start) -> EtcdProcess:
    return etcd_start("single")


@pytest.fixture
def etcd_cluster(etcd_make) -> EtcdCluster:
    return EtcdCluster([etcd_make(name) for name in ("one", "two", "three")])


@pytest.fixture
def calm_cluster(etcd_make) -> EtcdCluster:
    patience = ("--heartbeat-interval", "500", "--election-timeout", "20000")
    return EtcdCluster([etcd_make(name, *patience) for name in ("one", "two", "three")])


class Authority:
    """Issues certificates with the `openssl` program, as `docs/tls.md` tells operators to."""

    _KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl on PATH: certificates cannot be made here")
        self._directory = directory
        self.ca, self._key = directory / "ca.crt", directory / "ca.key"
        _openssl(
            *("req", "-x509", *self._KEY, "-keyout", self._key, "-out", self.ca, "-days", "60"),
            *("-subj", f"/CN={directory.name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def issue(
        self,
        name: str,
        *hosts: str,
        days: int = 30,
        purposes: str = "serverAuth,clientAuth",
        into: Path | None = None,
    ) -> dict[str, Path]:
        """Values for `[store.etcd.tls]`; the files are replaced if they are there.

        A connection from one loopback address to another comes from 127.0.0.1.
        """
        directory = into or self._directory / name
        directory.mkdir(exist_ok=True)
        certificate, key = directory / "tls.crt", directory / "tls.key"
        request, extensions = directory / "tls.csr", directory / "tls.ext"
        names = ",".join(f"IP:{host}" for host in {*hosts, "127.0.0.1"})
        extensions.write_text(
            "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n"
            f"extendedKeyUsage = {purposes}\nsubjectAltName = {names}\n"
        )
        _openssl("req", "-new", *self._KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate),
        )
        return {"ca": self.ca, "certificate": certificate, "key": key}


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("strangers"))


@pytest.fixture
def eventually():
    """`await eventually(condition)`: the first true value of a function, sync or async; fails when
    there is none within a time that is long for the slowest machine."""

    async def poll(condition, within: float = 120.0):
        deadline = time.monotonic() + within
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            assert time.monotonic() < deadline, f"not within {within} s: {condition}"
            await asyncio.sleep(0.02)

    return poll


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def _random_loopback() -> str:
    return f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"


def _free_addresses(host: str) -> tuple[Endpoint, Endpoint]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(2):
            probe = held.enter_context(socket.socket(family))
            probe.bind((host, 0))
            ports.append(probe.getsockname()[1])
    return Endpoint(host, ports[0]), Endpoint(host, ports[1])
