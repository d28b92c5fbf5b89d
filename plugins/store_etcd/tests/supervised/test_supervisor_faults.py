"""What keeps etcd from running, or ends it, and what the instance says and does then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

import pytest

from formal_cluster.errors import Unavailable
from formal_cluster.model import Instance, StoreState, View

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@contextlib.contextmanager
def stranger_on(address: str, port: int):
    with socket.create_server((address, port)):
        yield


async def test_etcd_is_started_again_when_it_is_killed(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    await eventually(lambda: one.serves)
    await one.put(b"key", b"kept")
    killed = one.etcd_pid
    one.kill_etcd()
    await eventually(lambda: one.etcd_pid not in {None, killed})
    await eventually(lambda: one.serves)
    assert b"kept" == await one.read(b"key")


async def test_etcd_ends_with_the_store(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    pid = await eventually(lambda: one.etcd_pid)
    store = one.store
    await one.stop()
    assert not runs(pid)
    assert StoreState.STOPPED is store.status().state


async def test_etcd_ends_when_its_python_is_killed(fleet, eventually):
    (one,) = fleet(1)
    python = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("one_store.py")), str(one.data_dir)),
        *(one.instance.address, str(one.instance.client_port), str(one.instance.peer_port)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        etcd = int(await asyncio.wait_for(python.stdout.readline(), 100))
        assert runs(etcd)
    finally:
        python.kill()
        await python.communicate()
    await eventually(lambda: not runs(etcd))


@pytest.mark.parametrize("which", ["client_port", "peer_port"])
async def test_a_taken_port_is_named_nothing_is_started_and_it_is_tried_again(
    fleet, eventually, which
):
    (one,) = fleet(1)
    address, port = one.instance.address, getattr(one.instance, which)
    with stranger_on(address, port):
        await one.start()
        await eventually(lambda: one.status.state is StoreState.FAILED)
        assert one.error.startswith(f"cannot listen on {address}:{port}: Address already in use")
        assert one.etcd_pid is None
        with pytest.raises(Unavailable, match="Address already in use"):
            await one.store.get(b"key")
    await eventually(lambda: one.serves)


async def test_a_directory_that_cannot_be_made_is_named_and_tried_again(fleet, eventually):
    (one,) = fleet(1)
    one.data_dir.write_text("a file where the directory should be")
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert one.error.startswith(f"store.etcd.data_dir {one.data_dir} cannot be used: ")
    with pytest.raises(Unavailable, match="cannot be used"):
        await one.store.put(b"key", b"value")
    one.data_dir.unlink()
    await eventually(lambda: one.serves)


async def test_an_instance_without_a_usable_directory_stays_alone_beside_a_cluster(
    fleet, start_all, eventually
):
    one, two = fleet(2, genesis_deadline_s=0)
    two.data_dir.write_text("a file where the directory should be")
    one.discovery.view = View((one.instance,))
    await start_all([one, two])
    await eventually(lambda: one.serves)
    await eventually(lambda: two.status.state is StoreState.FAILED)
    assert two.status.cluster_id is None
    with pytest.raises(Unavailable):
        await two.store.get(b"key")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("etcd Version: 3.5.1", "can corrupt its data when it is killed"),
        ("etcd Version: 3.3.27", "is too old"),
        ("hello", "does not answer as etcd does"),
    ],
)
async def test_a_program_that_must_not_be_run_is_refused(
    fleet, eventually, tmp_path, answer, reason
):
    program = tmp_path / "etcd"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    (one,) = fleet(1, binary=program)
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert reason in one.error


async def test_a_missing_program_is_named(fleet, eventually, tmp_path):
    (one,) = fleet(1, binary=tmp_path / "no-etcd-here")
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert f"store.etcd.binary is {tmp_path}/no-etcd-here" in one.error


async def test_damaged_data_is_told_from_other_failures(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    await eventually(lambda: one.serves)
    await one.stop()
    (wal,) = (one.data_dir / "member" / "wal").glob("*.wal")
    with wal.open("r+b") as file:
        file.seek(200)
        file.write(os.urandom(400))
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert one.error.startswith(f"the data in {one.data_dir} is damaged.")


async def test_no_cluster_is_founded_beside_a_strangers_etcd_nor_is_it_joined(
    fleet, eventually, etcd_start
):
    stranger = etcd_start("default")
    (one,) = fleet(1, tls=False, genesis_deadline_s=0)
    there = Instance(
        id="instance-9",
        address=stranger.peer.host,
        client_port=stranger.endpoint.port,
        peer_port=stranger.peer.port,
    )
    one.discovery.view = View((one.instance, there))
    await one.start()
    await eventually(lambda: "that formal-cluster did not start" in one.error)
    assert StoreState.STARTING is one.status.state
    assert one.status.cluster_id is None


async def test_data_of_another_cluster_than_the_recorded_one_is_not_served(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    await eventually(lambda: one.serves)
    recorded = one.status.cluster_id
    await one.stop()
    file = one.data_dir / "formal-cluster.json"
    file.write_text(file.read_text().replace(recorded, "abcdef"))
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert f"the data here belongs to cluster {recorded}" in one.error
    await eventually(lambda: one.etcd_pid is None)


async def test_a_bug_in_the_supervisor_shows_in_the_status(fleet, eventually):
    (one,) = fleet(1)

    async def broken():
        raise ZeroDivisionError("a driver's bug")

    one.discovery.discover = broken
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert "a driver's bug" in one.error


async def test_an_interrupt_from_the_terminal_does_not_reach_etcd(fleet, eventually):
    (one,) = fleet(1)
    await one.start()
    pid = await eventually(lambda: one.etcd_pid)
    assert os.getpgid(pid) != os.getpgid(0)
