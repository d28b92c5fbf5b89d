"""`formal-cluster discover` in an ECS task: the tool an operator reaches for first."""

import asyncio
import json
import os
import sys

import pytest

SERVICE = "connector"


@pytest.fixture
async def start(ecs, metadata, me, monkeypatch, tmp_path):
    """Starts the command as in the container of `me`, with no settings but the driver's name."""
    path = tmp_path / "cluster.toml"
    path.write_text('[discovery]\ndrivers = ["ecs"]\n')
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", ecs.url)
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", metadata.uri(me))
    processes = []

    async def start(*arguments):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "formal_cluster", "discover", "--config", path, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_it_needs_nothing_but_the_drivers_name(world, start, me):
    peer = world.run("127.0.0.2", service=SERVICE)

    process = await start("--json")
    out, err = await process.communicate()

    assert (0, b"") == (process.returncode, err)
    document = json.loads(out)
    assert (me.arn, True) == (document["self"], document["complete"])
    assert {me.arn: "127.0.0.1", peer.arn: "127.0.0.2"} == {
        instance["id"]: instance["address"] for instance in document["instances"]
    }


async def test_a_missing_permission_is_one_error_with_the_mend(ecs, start):
    ecs.deny("DescribeTasks")

    process = await start()
    out, err = await process.communicate()

    assert (1, b"") == (process.returncode, out)
    assert err.startswith(b"error: ECS DescribeTasks in cluster ")
    assert 1 == len(err.splitlines())


async def test_outside_ecs_it_says_so(start, monkeypatch):
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4")

    process = await start()
    out, err = await process.communicate()

    assert (1, b"") == (process.returncode, out)
    assert err.startswith(b"error: ECS_CONTAINER_METADATA_URI_V4 is not set")
    assert 1 == len(err.splitlines())
