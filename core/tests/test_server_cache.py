"""The shared cache over HTTP, on a real socket, with the in-memory store behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from formal_cluster import Cluster
from formal_cluster.server.app import build_app

PATIENT = {"max_stale_ms": 60_000, "deadline_ms": 30_000}  # with a slow machine
JOB = "/v1/cache/jobs/project/US/job-1"


class Api:
    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster) -> None:
        self.session = session
        self.cluster = cluster

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        async with self.session.request(method, path, **options) as answer:
            return answer.status, await answer.read()

    async def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self.session.request(method, path, **options) as answer:
            body = await answer.json()
            assert body["message"]
            return answer.status, body["code"]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    settings = {
        "store": {"driver": "memory"},
        "server": {"max_body_bytes": 4096},
        "cache": {
            "jobs": {"http": True, "max_value_bytes": 100, **PATIENT},
            "private": {},
        },
    }
    async with Cluster.from_settings(settings) as cluster:
        runner = web.AppRunner(build_app(cluster), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield Api(session, cluster)
        await runner.cleanup()


async def test_bytes_are_written_read_and_removed(api: Api) -> None:
    value = bytes(range(100))
    assert (204, b"") == await api.ask("PUT", JOB, data=value)
    assert (200, value) == await api.ask("GET", JOB)
    assert (200, value) == await api.ask("GET", JOB + "?fresh")
    assert value == api.cluster.cache("jobs").peek("project/US/job-1")
    assert (204, b"") == await api.ask("DELETE", JOB)
    assert (404, "not_cached") == await api.refused("GET", JOB)
    assert (404, "not_cached") == await api.refused("DELETE", JOB)


async def test_if_none_match_writes_only_what_is_absent(api: Api) -> None:
    absent = {"If-None-Match": "*"}
    assert (201, b"") == await api.ask("PUT", JOB, data=b"first", headers=absent)
    assert (412, "cached_already") == await api.refused("PUT", JOB, data=b"2", headers=absent)
    assert (200, b"first") == await api.ask("GET", JOB)


async def test_a_condition_that_is_not_known_does_not_overwrite(api: Api) -> None:
    await api.ask("PUT", JOB, data=b"first")
    for headers in ({"If-None-Match": '"tag"'}, {"If-Match": '"tag"'}):
        refusal = await api.refused("PUT", JOB, data=b"second", headers=headers)
        assert (400, "unknown_condition") == refusal
    assert (200, b"first") == await api.ask("GET", JOB)


async def test_an_entry_vanishes_after_its_ttl(api: Api) -> None:
    assert (204, b"") == await api.ask("PUT", JOB + "?ttl=0.1", data=b"")
    async with asyncio.timeout(50):
        while (await api.ask("GET", JOB))[0] != 404:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "path", "size", "status", "code"),
    [
        ("PUT", JOB, 101, 413, "value_too_large"),
        ("PUT", JOB, 5_000, 413, "body_too_large"),
        ("PUT", JOB + "?ttl=soon", 1, 400, "invalid_ttl"),
        ("PUT", JOB + "?ttl=-1", 1, 400, "invalid_ttl"),
        ("PUT", "/v1/cache/jobs/" + "k" * 1_025, 1, 400, "invalid_key"),
        ("GET", "/v1/cache/private/key", 0, 404, "no_such_cache"),
        ("PUT", "/v1/cache/private/key", 1, 404, "no_such_cache"),
        ("GET", "/v1/cache/undeclared/key", 0, 404, "no_such_cache"),
        ("GET", "/v1/cache/jobs/", 0, 404, "not_found"),
        ("POST", JOB, 1, 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_possible_is_refused_with_a_code(
    api: Api, method: str, path: str, size: int, status: int, code: str
) -> None:
    assert (status, code) == await api.refused(method, path, data=bytes(size))


async def test_without_the_store_the_answer_is_503(api: Api) -> None:
    await api.ask("PUT", JOB, data=b"1")
    await api.cluster.store.stop()
    assert (503, "cache_unavailable") == await api.refused("PUT", JOB, data=b"2")
    assert (503, "cache_unavailable") == await api.refused("GET", JOB + "?fresh")


async def test_status_and_metrics_tell_of_each_namespace(api: Api) -> None:
    await api.ask("PUT", JOB, data=b"12345")
    await api.ask("GET", JOB)
    await api.ask("GET", JOB + "-missing")
    async with asyncio.timeout(50):
        while True:
            async with api.session.get("/v1/cluster") as answer:
                cache = (await answer.json())["cache"]
            if cache["namespaces"]["jobs"]["entries"] == 1:
                break
    seen = cache["namespaces"]["jobs"]
    assert {"hits": 1, "misses": 1, "writes": 1, "size": 21} == {
        name: seen[name] for name in ("hits", "misses", "writes", "size")
    }
    assert 0 <= cache["stale_ms"] < 60_000
    _, metrics = await api.ask("GET", "/metrics")
    for line in (
        b'formal_cluster_cache_entries{namespace="jobs"} 1.0',
        b'formal_cluster_cache_bytes{namespace="jobs"} 21.0',
        b'formal_cluster_cache_hits_total{namespace="jobs"} 1.0',
        b'formal_cluster_cache_evictions_total{namespace="private"} 0.0',
        b"formal_cluster_cache_stale_seconds ",
    ):
        assert line in metrics
