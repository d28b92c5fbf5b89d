"""What people use today: counters in Redis."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping

import redis
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from benchmarks.measure import Sample, in_process


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """A real redis-server without persistence on a free port."""
    binary = shutil.which("redis-server")
    if binary is None:
        message = "no redis-server on PATH; run `make setup`"
        raise SystemExit(message)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["--port", str(port), "--save", "", "--appendonly", "no", "--dir", directory]
        process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
        try:
            _wait_until_it_answers(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_answers(port: int) -> None:
    client = redis.Redis(port=port)
    deadline = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            client.close()
            return


def measure(name: str, port: int, count: int) -> Sample:
    """One round of a peer. Run it in a process of its own: ours has threads of gRPC's."""
    return in_process(PEERS[name](port), count)


def incr_expire(port: int) -> Callable[[int], object]:
    """redis-py: INCR and EXPIRE of a per-minute key, in one pipeline (fixed window)."""
    client = redis.Redis(port=port)

    def hit(number: int) -> object:
        pipeline = client.pipeline(transaction=False)
        key = f"user{number % 10_000}"
        pipeline.incr(key)
        pipeline.expire(key, 60)
        return pipeline.execute()

    return hit


def limits_moving_window(port: int) -> Callable[[int], object]:
    """`limits`, moving window on Redis: the peer with the same meaning as ours."""
    limiter = MovingWindowRateLimiter(RedisStorage(f"redis://127.0.0.1:{port}"))
    item = RateLimitItemPerMinute(5)
    return lambda number: limiter.hit(item, f"user{number % 10_000}")


PEERS: Mapping[str, Callable[[int], Callable[[int], object]]] = {
    "redis-py INCR+EXPIRE (count only)": incr_expire,
    "limits moving window on Redis (count only)": limits_moving_window,
}
