"""Which program restores, and what is said when none can."""

from __future__ import annotations

from pathlib import Path

import pytest

from formal_cluster_store_etcd.member.binary import Binary, Version, inspect
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.restore_tool import (
    RestoreTool,
    find_restore_tool,
    run_restore,
)

HELP = "--data-dir=''  Path to the data directory"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine.put("beside/etcdutl", "3.5.30")`: a program; `machine.etcd("3.5.30")`: that etcd."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return Machine(tmp_path)


class Machine:
    def __init__(self, root):
        self.root = root

    def put(self, place, version, help_text=HELP):
        path = self.root / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'#!/bin/sh\nif [ "$1" = version ]; then echo "{path.name} version: {version}"\n'
            f'elif [ "$ETCDCTL_API" = 3 ]; then echo "{help_text}"; fi\n'
        )
        path.chmod(0o755)
        return path

    def etcd(self, version):
        parsed = Version(*map(int, version.split(".")))
        return Binary(self.root / "beside" / "etcd", parsed, frozenset(), None)


async def test_the_one_beside_etcd_comes_before_the_one_on_path(machine):
    machine.put("path/etcdutl", "3.5.30")
    beside = machine.put("beside/etcdutl", "3.5.30")
    assert RestoreTool(beside) == await find_restore_tool(machine.etcd("3.5.24"))


async def test_etcdutl_comes_before_etcdctl(machine):
    machine.put("path/etcdctl", "3.5.30")
    utl = machine.put("path/etcdutl", "3.5.30")
    assert RestoreTool(utl) == await find_restore_tool(machine.etcd("3.5.24"))


async def test_one_of_another_minor_version_is_passed_over(machine):
    machine.put("beside/etcdutl", "3.6.1")
    right = machine.put("path/etcdctl", "3.5.30")
    assert RestoreTool(right) == await find_restore_tool(machine.etcd("3.5.24"))


@pytest.mark.parametrize(("etcd", "wanted"), [("3.4.23", "etcdctl 3.4"), ("3.6.12", "etcdutl 3.6")])
async def test_when_there_is_none_the_message_names_what_to_install(machine, etcd, wanted):
    with pytest.raises(CannotStart, match=f"restoring data needs {wanted}, .*; none was found"):
        await find_restore_tool(machine.etcd(etcd))


async def test_those_that_cannot_restore_are_named(machine):
    no_restore = machine.put("beside/etcdctl", "3.6.12", "snapshot save")
    other = machine.put("path/etcdutl", "3.5.30")
    with pytest.raises(CannotStart, match="found only") as raised:
        await find_restore_tool(machine.etcd("3.6.12"))
    assert f"{no_restore} (3.6), {other} (3.5)" in str(raised.value)


async def test_a_program_that_cannot_be_run_is_passed_over(machine):
    broken = machine.put("beside/etcdutl", "3.5.30")
    broken.write_text("#!/no/such/shell\n")
    right = machine.put("path/etcdutl", "3.5.30")
    assert right == (await find_restore_tool(machine.etcd("3.5.24"))).path


@pytest.mark.etcd
async def test_this_machines_etcd_has_one(etcd_binary):
    binary = await inspect(Path(etcd_binary), allow_known_bad=False)
    tool = await find_restore_tool(binary)
    assert tool.path.name in {"etcdutl", "etcdctl"}


async def test_a_failure_is_told_in_the_tools_last_words(tmp_path):
    command = ("/bin/sh", "-c", "echo first; echo 'the last words' >&2; exit 3")
    with pytest.raises(CannotStart, match=r"could not restore the data \(status 3\): the last wor"):
        await run_restore(command)
    with pytest.raises(CannotStart, match="cannot be run: No such file"):
        await run_restore((str(tmp_path / "no-such-tool"),))


async def test_settings_of_the_tools_own_do_not_reach_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ETCDCTL_NAME", "other")
    monkeypatch.setenv("ETCD_NAME", "other")
    seen = tmp_path / "seen"
    await run_restore(("/bin/sh", "-c", f"env | grep ^ETCD > {seen}"))
    assert "ETCDCTL_API=3\n" == seen.read_text()
