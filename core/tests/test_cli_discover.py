"""`formal-cluster discover`, as a process of its own."""

import asyncio
import json
import os
import signal
import socket
import sys

import pytest

TWO = """
[discovery.static]
self = "a"
instances = [
  { id = "a", address = "127.0.0.1", zone = "here" },
  { id = "b", address = "127.0.0.2", peer_port = 2390 },
]
"""


@pytest.fixture
async def start(tmp_path):
    """Starts the command with settings; whatever still runs at the end is killed."""
    processes = []

    async def start(settings, *arguments):
        path = tmp_path / "cluster.toml"
        path.write_text(settings)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FORMAL_CLUSTER_")}
        command = ("-m", "formal_cluster", "discover", "--config", str(path), *arguments)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, "COLUMNS": "120"},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def discover(start):
    """Runs the command to its end: exit code, what it printed, what it complained about."""

    async def discover(settings, *arguments):
        process = await start(settings, *arguments)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    return discover


async def test_the_instances_are_listed_and_this_one_is_marked(discover):
    code, out, err = await discover(TWO)

    assert (0, "") == (code, err)
    [first, second] = [line.split() for line in out.splitlines() if "127.0.0." in line]
    assert ["│", "*", "│", "a", "│", "127.0.0.1", "│", "running", "│", "here"] == first[:10]
    assert ["│", "│", "b", "│", "127.0.0.2", "│", "unknown"] == second[:7]
    assert "2 instances, * is this one; complete" in out


async def test_json_is_for_programs(discover):
    code, out, err = await discover(TWO, "--json")

    assert (0, "") == (code, err)
    document = json.loads(out)
    assert ("a", True) == (document["self"], document["complete"])
    assert {
        "id": "b",
        "address": "127.0.0.2",
        "client_port": None,
        "peer_port": 2390,
        "state": "unknown",
        "zone": None,
        "started_at": None,
        "generation": None,
    } == document["instances"][1]


async def test_a_process_that_is_no_instance_sees_them_and_the_reason(discover):
    settings = """
    [discovery.static]
    instances = [{ id = "b", address = "198.51.100.2" }]
    """

    code, out, err = await discover(settings, "--json")

    assert 1 == code
    assert [None, ["b"]] == [
        json.loads(out)["self"],
        [instance["id"] for instance in json.loads(out)["instances"]],
    ]
    assert err.startswith("error: which of discovery.static.instances is this process?")


async def test_a_platform_that_does_not_answer_is_an_error(discover):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = f"""
        [discovery]
        drivers = ["dns"]
        [discovery.dns]
        names = ["connector.internal."]
        resolvers = ["127.0.0.1:{silent.getsockname()[1]}"]
        timeout = 0.2
        self_address = "127.0.0.1"
        """

        code, out, err = await discover(settings)

    assert (1, "") == (code, out)
    assert "connector.internal." in err
    assert "Traceback" not in err


async def test_wrong_settings_are_the_operators_error(discover):
    code, out, err = await discover('[discovery]\ndrivers = ["nonsense"]')

    assert (2, "") == (code, out)
    assert "nonsense" in err


async def test_watching_goes_on_until_interrupted(start):
    process = await start(TWO, "--json", "--watch")
    line = await process.stdout.readline()

    process.send_signal(signal.SIGINT)
    rest, err = await process.communicate()

    assert "a" == json.loads(line)["self"]
    assert (130, b"", b"") == (process.returncode, rest, err)


async def test_a_watch_by_a_process_that_is_no_instance_warns_and_goes_on(start):
    process = await start(
        '[discovery.static]\ninstances = [{ id = "b", address = "198.51.100.2" }]',
        "--json",
        "--watch",
    )

    line = await process.stdout.readline()

    assert json.loads(line)["self"] is None
    assert (await process.stderr.readline()).startswith(b"warning: which of")
