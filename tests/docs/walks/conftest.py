"""A reader at work: takes a page's blocks one after the other, and types them on a machine.

    walk        `with walk("docs/x.md", {...}) as page`: `page.take(...)` is the next block
    machines    directories with `formal-cluster` on PATH, one address of a network each

What is typed is what is written, but for what the machines of a test cannot have to themselves:
addresses, ports and directories are replaced. A walk that passes over a block fails, so that none
is forgotten; `../inventory.toml` names the blocks that are left out, and why.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from formal_cluster_conformance import free_ports
from formal_cluster_store_etcd.member import launcher

ROOT = Path(__file__).parents[3]


class Page:
    """A page while it is followed, from the first block to the last."""

    def __init__(self, blocks: list[Any], left_out: list[str], replaced: Mapping[str, str]) -> None:
        self._blocks = blocks
        self._left_out = left_out
        self._replaced = replaced

    def take(self, start: str = "") -> str:
        """The next block that begins like this, adapted to the test's machines."""
        while self._blocks:
            block = self._blocks.pop(0)
            if block.text.startswith(start) and not (start == "" and self._may_be_passed(block)):
                return self.adapted(block.text)
            assert self._may_be_passed(block), f"{block.place}: passed over, looking for {start!r}"
        raise AssertionError(f"no block of the page begins with {start!r} any more")

    def adapted(self, text: str) -> str:
        for written, there in self._replaced.items():
            text = text.replace(written, there)
        return text

    def finish(self) -> None:
        assert [] == [block.place for block in self._blocks if not self._may_be_passed(block)]

    def _may_be_passed(self, block: Any) -> bool:
        return not block.is_to_be_run or block.text.startswith(tuple(self._left_out))


@pytest.fixture
def walk(blocks_of, inventory) -> Callable[..., contextlib.AbstractContextManager[Page]]:
    @contextlib.contextmanager
    def walk(name: str, replaced: Mapping[str, str] | None = None) -> Iterator[Page]:
        left_out = list(inventory.excuses(ROOT / name))
        page = Page(blocks_of(ROOT / name), left_out, replaced or {})
        yield page
        page.finish()

    return walk


class Machine:
    """A directory, a shell, and an address. `api` is where the instance's HTTP API is; `roots` are
    the absolute paths that lie in the machine's own directory here."""

    roots: tuple[str, ...] = ()

    def __init__(self, home: Path, name: str, address: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.address = address
        self.directory = home / name
        self.directory.mkdir()
        self.environment = {**environment, "FORMAL_CLUSTER_SERVER__HOST": address}
        self.api = f"http://{address}:{environment['FORMAL_CLUSTER_SERVER__PORT']}"
        self._log = home / f"{name}.log"
        self._server: subprocess.Popen[bytes] | None = None

    def write(self, path: str, text: str) -> Path:
        file = self.directory / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._localised(text))
        return file

    def run(self, text: str, *, status: int = 0) -> str:
        """Type it, and expect this exit status; what it prints."""
        done = subprocess.run(
            ["sh", "-e", "-c", self._localised(text)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert status == done.returncode, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: str) -> None:
        """Leave it running; it ends with the test run in any case."""
        launch = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [*launch, "/bin/sh", "-c", f"exec {self._localised(command).strip()}"],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def _localised(self, text: str) -> str:
        text = text.replace("http://127.0.0.1:8181", self.api).replace("localhost:8181", self.api)
        text = re.sub(r"formal-cluster status(?! --url)", rf"\g<0> --url {self.api}", text)
        for root in self.roots:
            text = text.replace(root, f"{self.directory}{root}")
        return text

    def stop(self) -> None:
        """SIGTERM, as Ctrl-C and every service manager have it."""
        assert self._server is not None
        self._server.terminate()
        assert 0 == self._server.wait(timeout=240), self.log

    def kill(self) -> None:
        """SIGKILL; its etcd dies with it."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def get(self, path: str) -> dict[str, Any]:
        """A JSON document of the HTTP API; empty while nobody answers there."""
        try:
            with urllib.request.urlopen(self.api + path, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return json.load(refused)
        except (OSError, ValueError):
            return {}

    def access(self, user: str) -> str:
        """Ask for an access to the quick start's bucket; the action decided."""
        asked = {"input": {"user": {"id": user}, "bucket": {"name": "sensitive-bucket"}}}
        request = urllib.request.Request(
            f"{self.api}/v1/data/formal/v2/pre_request", json.dumps(asked).encode()
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer).get("result", {}).get("action", "allow")

    def until(self, what: str, condition: Callable[[], bool], within_s: float = 240) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            ended = self._server is not None and self._server.poll() is not None
            assert not ended, f"{self.name} has ended: not {what}\n{self.log[-6000:]}"
            assert time.monotonic() < deadline, f"{self.name}: not {what}\n{self.log[-6000:]}"
            time.sleep(0.1)

    def until_blocked(self, user: str) -> None:
        self.until(f"blocking {user}", lambda: self.access(user) == "block")

    def until_clustered(self, voters: int) -> None:
        """Until it sees so many healthy voters, and counts with them."""

        def is_clustered() -> bool:
            seen = self.get("/v1/cluster")
            healthy = [m for m in seen.get("members", ()) if m["healthy"] and m["role"] == "voter"]
            return seen.get("state") == "clustered" and voters == len(healthy)

        self.until(f"clustered with {voters} voters", is_clustered)


class Machines:
    """Machines of one network: loopback addresses of a subnet picked at random, with ports that are
    free on all of them."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.subnet = f"127.{random.randrange(1, 255)}.{random.randrange(255)}."
        self._free = (str(port) for port in free_ports(6, host=""))
        self.client_port, self.peer_port, self.api_port = self.free_ports()
        self._program = home / "bin" / "formal-cluster"
        self._program.parent.mkdir()
        self._program.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m formal_cluster "$@"\n'
        )
        self._program.chmod(0o755)
        self._made: list[Machine] = []

    def make(self, name: str, number: int = 1) -> Machine:
        """One more, whose address ends with this number."""
        environment = {
            **os.environ,
            "PATH": f"{self._program.parent}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "FORMAL_CLUSTER_STORE__ETCD__CLIENT_PORT": self.client_port,
            "FORMAL_CLUSTER_STORE__ETCD__PEER_PORT": self.peer_port,
            "FORMAL_CLUSTER_SERVER__PORT": self.api_port,
        }
        machine = Machine(self._home, name, f"{self.subnet}{number}", environment)
        self._made.append(machine)
        return machine

    def three(self) -> list[Machine]:
        """a, b and c, as the pages call them. All are on one machine, so each is told who it is."""
        made = [self.make(name, number) for number, name in enumerate("abc", start=1)]
        for machine in made:
            machine.environment["FORMAL_CLUSTER_INSTANCE__ID"] = machine.name
            # All are started at once: nobody has to wait for late ones.
            machine.environment["FORMAL_CLUSTER_STORE__ETCD__GENESIS_STABLE_S"] = "0.5"
        return made

    def free_ports(self) -> list[str]:
        """Three that are free on all addresses, and not given out before."""
        return [next(self._free) for _ in range(3)]

    def stop(self) -> None:
        for machine in self._made:
            machine.kill()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def policy(blocks_of) -> str:
    """The policy of the quick start, with an hour's window: a walk may take more than a minute."""
    [text] = [b.text for b in blocks_of(ROOT / "docs/quick-start.md") if b.language == "rego"]
    return text.replace("last_minute", "last_hour")


@pytest.fixture
def settings(blocks_of, machines) -> str:
    """The file of docs/run-on-machines.md, for machines that share a network with each other."""
    page = ROOT / "docs/run-on-machines.md"
    text = next(block.text for block in blocks_of(page) if block.title)
    return text.replace("10.0.0.", machines.subnet)


@pytest.fixture
def looks_like() -> Callable[[str, str], bool]:
    """Whether an output is the page's: … stands for anything, a number for any number."""

    def looks_like(shown: str, actual: str) -> bool:
        pattern = ".*".join(re.escape(piece) for piece in shown.strip().split("…"))
        return re.fullmatch(re.sub(r"\d+", r"\\d+", pattern), actual.strip()) is not None

    return looks_like


class Symptoms:
    """What docs/troubleshooting.md says is seen: the first cells that quote a message."""

    def __init__(self, page: str) -> None:
        first = re.findall(r"^\| (.+?) \| ", page, re.MULTILINE)
        self.cells = [cell for cell in first if self._messages(cell)]

    def begins(self, start: str, cell: str) -> bool:
        return any(message.startswith((start, f"… {start}")) for message in self._messages(cell))

    def pattern(self, start: str) -> str:
        """The one cell whose message begins like this, as a pattern of what is said."""
        [cell] = [cell for cell in self.cells if self.begins(start, cell)]
        return ".*".join(re.escape(part) for m in self._messages(cell) for part in m.split("…"))

    def shows(self, start: str, said: str) -> bool:
        return re.search(self.pattern(start), said, re.DOTALL) is not None

    @staticmethod
    def _messages(cell: str) -> list[str]:
        return [quoted for quoted in re.findall(r"`([^`]+)`", cell) if quoted.count(" ") > 1]


@pytest.fixture
def symptoms() -> Symptoms:
    return Symptoms((ROOT / "docs/troubleshooting.md").read_text())
