"""The bound of a clock's error, all the way: platform → driver → core → whoever looks."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from formal_cluster import Cluster
from formal_cluster.server.app import build_app
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer

STATIC = {"self": "a", "instances": [{"id": "a", "address": "127.0.0.1"}]}


@pytest.fixture
async def drift(monkeypatch):
    """A task of a platform; sets by how many milliseconds its clock may be off."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    world = EcsWorld()
    me = world.run("127.0.0.1", service="connector")
    async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", ecs.url)
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", metadata.uri(me))

        def drift(bound_ms):
            metadata.overrides["ClockDrift"] = {
                "ClockErrorBound": bound_ms,
                "ReferenceTimestamp": "2026-11-01T00:00:00Z",
                "ClockSynchronizationStatus": "SYNCHRONIZED",
            }

        yield drift


@asynccontextmanager
async def instance(**discovery):
    """An instance with these settings of discovery, and the URL of its HTTP API."""
    settings = {"discovery": discovery, "store": {"driver": "memory"}}
    async with Cluster.from_settings(settings) as cluster:
        runner = web.AppRunner(build_app(cluster), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


async def shown(url):
    """What the HTTP API says of the clock."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/cluster") as answer:
        return (await answer.json())["clock"]


@pytest.fixture
def run():
    """A command, to its end: what it prints."""

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "formal_cluster", *arguments),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        out, _ = await process.communicate()
        return out.decode()

    return run


async def test_an_instance_shows_the_bound_that_its_platform_gives(drift):
    drift(0.25)
    async with instance(drivers=["ecs"]) as url:
        assert {"error_bound_ms": 0.25, "warning": None} == await shown(url)


async def test_one_whose_clock_may_be_wrong_says_so_and_logs_it(drift, caplog):
    drift(80)
    async with instance(drivers=["ecs"]) as url:
        clock = await shown(url)

    assert 80 == clock["error_bound_ms"]
    assert "off by 80 ms, which is more than 50 ms" in clock["warning"]
    assert [clock["warning"]] == [
        record.reason for record in caplog.records if record.message == "the clock may be wrong"
    ]


async def test_it_is_known_beside_a_driver_that_knows_nothing_of_clocks(drift):
    drift(0.25)
    async with instance(drivers=["ecs", "static"], static=STATIC) as url:
        assert {"error_bound_ms": 0.25, "warning": None} == await shown(url)


async def test_where_no_driver_knows_nothing_is_claimed():
    async with instance(drivers=["static"], static=STATIC) as url:
        assert {"error_bound_ms": None, "warning": None} == await shown(url)


async def test_discover_shows_it(drift, run, tmp_path):
    drift(0.25)
    path = tmp_path / "cluster.toml"
    path.write_text('[discovery]\ndrivers = ["ecs"]\n')

    document = json.loads(await run("discover", "--config", str(path), "--json"))
    text = await run("discover", "--config", str(path))

    assert 0.25 == document["clock_error_bound_ms"]
    assert "this machine's clock is off by at most 0.25 ms" in text


async def test_status_shows_it_and_warns(drift, run):
    drift(80)
    async with instance(drivers=["ecs"]) as url:
        text = await run("status", "--url", url)
        document = json.loads(await run("status", "--json", "--url", url))

    assert "clock: this machine's clock may be off by 80 ms" in " ".join(text.split())
    assert 80 == document["clock"]["error_bound_ms"]
