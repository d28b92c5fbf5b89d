"""`formal-cluster snapshot`: the shared state saved, everything lost, and brought back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from formal_cluster.model import Role

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.fixture
def command(tmp_path):
    """`await command(instance, "save", file)`: run it as it is run beside that instance."""

    async def run(instance, *arguments):
        settings = settings_file(instance, tmp_path)
        return await asyncio.to_thread(
            subprocess.run,
            [
                Path(sys.executable).with_name("formal-cluster"),
                *("snapshot", *arguments, "--config", settings),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    return run


@pytest.fixture
def file(tmp_path):
    return tmp_path / "saved"


def settings_file(instance, directory):
    listed = "\n".join(
        f"  {{ id = '{i.id}', address = '{i.address}', client_port = {i.client_port}, "
        f"peer_port = {i.peer_port} }},"
        for i in instance.discovery.view.instances
    )
    path = directory / f"{instance.id}.toml"
    path.write_text(
        f"[discovery]\ndrivers = ['static']\n[discovery.static]\nself = '{instance.id}'\n"
        f"instances = [\n{listed}\n]\n"
        f"[store]\ndriver = 'etcd'\n[store.etcd]\ndata_dir = '{instance.data_dir}'\n"
    )
    return path


async def serving(instance, eventually):
    await instance.start()
    await eventually(lambda: instance.serves)


async def test_what_was_saved_is_there_again_after_everything_was_lost(
    fleet, start_all, eventually, command, file
):
    one, two = fleet(2)
    await start_all([one, two])
    await eventually(lambda: two.members(Role.LEARNER) == {two.id})
    for number in range(20):
        await one.put(b"key/%d" % number, b"value %d" % number)
    revision = await one.delete(b"key/3")
    before = {key: await one.read(key) for key in await one.keys(b"key/")}
    assert 19 == len(before)
    lost = one.status.cluster_id

    saved = await command(one, "save", file, "--json")
    assert (0, "") == (saved.returncode, saved.stderr)
    assert {
        "file": str(file),
        "revision": json.loads(saved.stdout)["revision"],
        "size": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    } == json.loads(saved.stdout)
    assert revision <= json.loads(saved.stdout)["revision"]
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)

    for instance in (one, two):
        await instance.stop()
        instance.lose_disk()
    restored = await command(two, "restore", file)
    assert (0, "") == (restored.returncode, restored.stderr)
    assert "instance instance-1 founds a new cluster, epoch 1000, when it is" in restored.stdout
    await start_all([one, two])
    await eventually(lambda: one.members(Role.LEARNER) == {one.id})
    assert before == {key: await one.read(key) for key in await one.keys(b"key/")}
    assert one.status.cluster_id == two.status.cluster_id != lost
    await one.put(b"key/3", b"again")


async def test_present_data_is_set_aside_and_the_epoch_rises(fleet, eventually, command, file):
    (one,) = fleet(1)
    await serving(one, eventually)
    await one.put(b"key", b"saved")
    assert 0 == (await command(one, "save", file)).returncode
    await one.put(b"key", b"not saved")
    await one.stop()

    restored = json.loads((await command(one, "restore", file, "--json")).stdout)
    assert (str(one.data_dir), 1_001) == (restored["data_dir"], restored["epoch"])
    assert [one.data_dir / "set-aside-1"] == list(one.data_dir.glob("set-aside-*"))
    await serving(one, eventually)
    assert b"saved" == await one.read(b"key")


async def test_an_instance_that_runs_is_not_touched(fleet, eventually, command, file):
    (one,) = fleet(1)
    await serving(one, eventually)
    assert 0 == (await command(one, "save", file)).returncode
    refused = await command(one, "restore", file)
    assert 1 == refused.returncode
    assert "is in use by another instance on this machine" in refused.stderr
    assert "If it is this instance that runs, stop it first" in refused.stderr
    await one.put(b"key", b"still serving")


async def test_a_damaged_file_changes_nothing(fleet, eventually, command, file):
    (one,) = fleet(1)
    await serving(one, eventually)
    await one.put(b"key", b"kept")
    assert 0 == (await command(one, "save", file)).returncode
    await one.stop()
    file.write_bytes(file.read_bytes()[:-1_024])
    refused = await command(one, "restore", file)
    assert 1 == refused.returncode
    assert f"error: {file} is not a snapshot" in refused.stderr
    await serving(one, eventually)
    assert b"kept" == await one.read(b"key")


async def test_without_an_etcd_nothing_is_saved_and_an_earlier_file_stays(fleet, command, file):
    (one,) = fleet(1)
    file.write_text("an earlier one")
    failed = await command(one, "save", file)
    assert 1 == failed.returncode
    assert f"error: etcd at {one.instance.address}:{one.instance.client_port}: " in failed.stderr
    assert "an earlier one" == file.read_text()
    assert [] == list(file.parent.glob(".saved*"))


async def test_any_etcd_may_be_asked(fleet, command, file, etcd_start):
    (one,) = fleet(1)
    other = etcd_start("other")
    saved = await command(one, "save", file, "--endpoint", str(other.endpoint))
    assert (0, "") == (saved.returncode, saved.stderr)
    assert f"{file}: revision 1, {file.stat().st_size} bytes, sha256 " in saved.stdout
    wrong = await command(one, "save", file, "--endpoint", "nonsense")
    assert (2, "error: --endpoint 'nonsense' is not HOST:PORT\n") == (
        wrong.returncode,
        wrong.stderr,
    )


async def test_a_file_that_cannot_be_read_or_written_is_named(fleet, command, file, etcd_start):
    (one,) = fleet(1)
    nowhere = file / "no" / "such" / "file"
    unread = await command(one, "restore", nowhere)
    unwritten = await command(one, "save", nowhere, "--endpoint", str(etcd_start("other").endpoint))
    assert (1, f"error: {nowhere} cannot be read: No such file or directory\n") == (
        unread.returncode,
        unread.stderr,
    )
    assert (1, f"error: {nowhere} cannot be written: No such file or directory\n") == (
        unwritten.returncode,
        unwritten.stderr,
    )
