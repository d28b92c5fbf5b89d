"""Real Redis servers for tests.

    redis_shared  one server without persistence for the whole run: give each store a prefix of its
                  own, as `open_store` does
    redis_make    function that makes a server of the test's own without starting it
    redis_start   function that starts a server of the test's own with options of your choice
    open_store    function that opens a store on a server, stopped when the test ends
    eventually    polls a condition of the test, with a deadline

Each server listens on a random loopback address of its own and is killed when the test ends; if the
test run itself is killed, the kernel kills it (PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from formal_cluster.errors import Unavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, StoreState
from formal_cluster_store_redis_test.settings import RedisTestSettings
from formal_cluster_store_redis_test.store import RedisStore

START_DEADLINE_S = 50.0
PATIENCE_S = 20.0  # with a slow machine, where a test is not about that
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
NO_PERSISTENCE = ("--save", "", "--appendonly", "no")


class RedisProcess:
    """One server: a process, its address and its directory."""

    def __init__(self, directory: Path, options: tuple[str, ...]) -> None:
        self.options = options
        self.directory = directory
        self.host = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        self.tls_ca: Path | None = None
        directory.mkdir(parents=True)
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis{'s' if self.tls_ca else ''}://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start it, on what an earlier start has left in its directory; wait until it serves."""
        binary = shutil.which("redis-server")
        assert binary, "no redis-server on PATH; run `make setup`"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", binary, "--bind", self.host),
                    *("--port", str(self.port), "--dir", str(self.directory), *self.options),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                with self.client() as client, contextlib.suppress(redis.AuthenticationError):
                    client.info()
            except redis.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    raise AssertionError(f"redis-server did not start:\n{tail}") from None
                time.sleep(0.01)
            else:
                return

    def client(self) -> redis.Redis:
        tls = {"ssl": True, "ssl_ca_certs": str(self.tls_ca)} if self.tls_ca else {}
        return redis.Redis(host=self.host, port=self.port, retry=Retry(NoBackoff(), 0), **tls)

    def kill(self) -> None:
        """SIGKILL, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Remove the data of a server that was killed."""
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.log:
                path.unlink()


@pytest.fixture(scope="session")
def redis_shared(tmp_path_factory):
    server = RedisProcess(tmp_path_factory.mktemp("redis") / "data", NO_PERSISTENCE)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_make(tmp_path):
    servers = []

    def make(*options: str) -> RedisProcess:
        servers.append(RedisProcess(tmp_path / f"redis{len(servers)}", options))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def redis_start(redis_make):
    def start(*options: str) -> RedisProcess:
        server = redis_make(*options)
        server.start()
        return server

    start.always = lambda: start(*ALWAYS)
    start.forgetful = lambda *options: start(*NO_PERSISTENCE, *options)
    return start


_prefixes = itertools.count()


@pytest.fixture
def build_store():
    """Function that builds a store without starting it, in a place of its own."""

    def build(server, **table) -> RedisStore:
        place = {"url": server.url, "key_prefix": f"{next(_prefixes)}:"}
        settings = {**place, "timeout_s": PATIENCE_S, **table}
        context = StoreContext(Instance("a", "127.0.0.1"), None, logging.getLogger("test.redis"))
        return RedisStore(RedisTestSettings.model_validate(settings), context)

    return build


@pytest.fixture
async def open_store(build_store):
    stores = []

    async def open_store(server, **table) -> RedisStore:
        store = build_store(server, **table)
        stores.append(store)
        await store.start()
        return store

    yield open_store
    for store in stores:
        await store.stop()


@pytest.fixture
def eventually():
    async def eventually(check):
        """Poll until `check()`, sync or async, returns something true; that."""
        async with asyncio.timeout(100):
            while True:
                answer = check()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(0.01)

    return eventually


@pytest.fixture
def serving(eventually):
    async def serving(store):
        """Until it says that it serves and does: it says so for a moment after Redis has died."""

        async def serves():
            with contextlib.suppress(Unavailable):
                await store.get(b"k")
                return store.status().state is StoreState.SERVING

        await eventually(serves)

    return serving
