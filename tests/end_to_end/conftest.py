"""Three real instances, each `formal-cluster serve` with an etcd of its own, on loopback addresses.

    site            starts instances of your making
    three           three of them, clustered, with a voter each, in a static list

Ports are picked at random for each test. The kernel kills what a test run that is itself killed
leaves behind (PDEATHSIG, through the store's launcher).
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
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from formal_cluster_store_etcd.member import launcher

POLICY = """package formal.v2

import future.keywords.if

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.bucket.name == "sensitive-bucket"
  input.bucket.access_count.last_hour > 5
}

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.table.name == "ledger"
  input.table.strict_count.last_hour > 5
}
"""
CONFIG = """
{discovery}

[store.etcd]
data_dir = "{directory}/default.etcd"
client_port = {client_port}
peer_port = {peer_port}

[policy]
paths = ["{policy}"]

[server]
host = "{address}"
port = {http_port}
ready_after_seconds = 1

[log]
format = "json"

[counters]
strict_deadline_ms = 30000

[[counter]]
name = "access_count"

[[counter]]
name = "strict_count"
entity = "table"
grade = "strict"
"""


class Instance:
    """One instance: its process, its directory, its HTTP API."""

    def __init__(self, name: str, address: str, ports: tuple[int, int, int], home: Path) -> None:
        self.name = name
        self.address = address
        self.client_port, self.peer_port, self.http_port = ports
        self.home = home / name
        self.home.mkdir()
        self.log = self.home / "log"
        self._environment: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.http_port}"

    @property
    def data_dir(self) -> Path:
        return self.home / "default.etcd"

    @property
    def entry(self) -> str:
        return (
            f'{{ id = "{self.name}", address = "{self.address}", '
            f"client_port = {self.client_port}, peer_port = {self.peer_port} }}"
        )

    def configure(
        self, discovery: str, policy: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Write its settings.

        Args:
            discovery: The settings' part about discovery, in TOML.
            environment: Variables that it has besides those of this process.
        """
        self._environment = environment or {}
        text = CONFIG.format(
            discovery=discovery,
            directory=self.home,
            client_port=self.client_port,
            peer_port=self.peer_port,
            policy=policy,
            address=self.address,
            http_port=self.http_port,
        )
        (self.home / "config.toml").write_text(text)

    def start(self) -> None:
        command = [
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"),
            *(sys.executable, "-m", "formal_cluster"),
            *("serve", "--config", str(self.home / "config.toml")),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **self._environment}
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def etcd_pids(self) -> list[int]:
        """The etcd processes that use this instance's directory."""
        return [pid for pid, line in _command_lines() if str(self.data_dir) in line]

    def kill_everything(self) -> None:
        """SIGKILL Python and etcd at once, as when a machine dies."""
        victims = [self.pid, *self.etcd_pids()]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.reap()

    def kill_python(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.reap()

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=120)

    def reap(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        shutil.rmtree(self.data_dir)


def _command_lines() -> Iterator[tuple[int, str]]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "etcd" in line.split(" ")[0]:
                    yield int(directory.name), line


class Site:
    """Instances that know each other, and a client for them."""

    def __init__(self, home: Path, session: aiohttp.ClientSession) -> None:
        self.home = home
        self.session = session
        self.instances: list[Instance] = []
        self.policy = home / "policy.rego"
        self.policy.write_text(POLICY)

    def build(self, count: int) -> list[Instance]:
        """Instances in a static list, with ports of their own each."""
        for address in self.addresses(count):
            self._add(address, _free_ports([address]))
        entries = ", ".join(instance.entry for instance in self.instances)
        for instance in self.instances:
            discovery = f'[discovery.static]\nself = "{instance.name}"\ninstances = [{entries}]'
            instance.configure(discovery, self.policy)
        return self.instances

    def join(
        self,
        address: str,
        ports: tuple[int, int, int],
        discovery: str,
        environment: Mapping[str, str],
    ) -> Instance:
        """One more instance, as its platform would start it. See `Instance.configure`."""
        instance = self._add(address, ports)
        instance.configure(discovery, self.policy, environment)
        instance.start()
        return instance

    def addresses(self, count: int) -> list[str]:
        """Loopback addresses in a subnet picked at random."""
        subnet = f"127.{random.randrange(1, 255)}.{random.randrange(255)}"
        return [f"{subnet}.{number + 1}" for number in range(count)]

    def common_ports(self, addresses: list[str]) -> tuple[int, int, int]:
        """Ports for all of these: no platform tells that an instance has other ones."""
        return _free_ports(addresses)

    def _add(self, address: str, ports: tuple[int, int, int]) -> Instance:
        instance = Instance("abcdefg"[len(self.instances)], address, ports, self.home)
        self.instances.append(instance)
        return instance

    async def get(self, instance: Instance, path: str) -> dict[str, Any]:
        async with self.session.get(instance.url + path) as answer:
            body: dict[str, Any] = await answer.json()
            return body

    async def access(self, instance: Instance, user: str, **entity: str) -> str:
        """Ask for an access; the action decided."""
        (kind, name), *_ = (entity or {"bucket": "sensitive-bucket"}).items()
        document = {"user": {"id": user}, kind: {"name": name}}
        url = f"{instance.url}/v1/data/formal/v2/pre_request"
        async with self.session.post(url, json={"input": document}) as answer:
            body = await answer.json()
            assert 200 == answer.status, body
            action: str = body.get("result", {}).get("action", "allow")
            return action

    async def until(
        self, what: str, condition: Callable[[], Awaitable[bool]], within_s: float = 300
    ) -> None:
        """Poll a condition. Instances that do not answer count as no."""
        began = time.monotonic()
        while time.monotonic() < began + within_s:
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                if await condition():
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {within_s} s: {what}\n{self._report()}")

    async def until_voters(self, count: int, *, seen_by: list[Instance]) -> None:
        """Wait until each of `seen_by` is clustered and sees `count` healthy voters."""

        async def all_see_them() -> bool:
            for instance in seen_by:
                body = await self.get(instance, "/v1/cluster")
                voters = [m for m in body["members"] if m["role"] == "voter" and m["healthy"]]
                if body["state"] != "clustered" or len(voters) != count:
                    return False
            return True

        await self.until(f"{count} voters", all_see_them)

    def _report(self) -> str:
        lines = []
        for instance in self.instances:
            if instance.log.exists():
                tail = instance.log.read_text(errors="replace").splitlines()[-15:]
                lines += [f"--- {instance.name}", *(line[:300] for line in tail)]
        return "\n".join(lines)

    def stop(self) -> None:
        for instance in self.instances:
            instance.reap()


def _free_ports(addresses: list[str]) -> tuple[int, int, int]:
    """Three ports that are free on every one of the addresses."""
    first, *others = addresses
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < 3:
            port = stack.enter_context(socket.create_server((first, 0))).getsockname()[1]
            with contextlib.suppress(OSError):
                for address in others:
                    stack.enter_context(socket.create_server((address, port)))
                ports.append(port)
    one, two, three = ports
    return one, two, three


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        site = Site(tmp_path, session)
        try:
            yield site
        finally:
            site.stop()


@pytest.fixture
async def three(site: Site) -> Site:
    for instance in site.build(3):
        instance.start()
    await site.until_voters(3, seen_by=site.instances)
    return site
