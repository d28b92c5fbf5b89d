"""A child that never outlives its supervisor, and how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from formal_cluster.errors import ConfigError
from formal_cluster_store_etcd.member import launcher
from formal_cluster_store_etcd.member.process import EtcdProcess, require_linux

LAUNCHER = launcher.__file__
SLEEP = shutil.which("sleep")
SHELL = shutil.which("sh")

PARENT_THAT_STARTS_A_CHILD = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), "--", sys.argv[2], "60"]
)
print(child.pid, flush=True)
sys.stdin.read()
"""


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


async def test_the_child_is_the_program_itself_and_dies_with_its_parent(eventually):
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT_THAT_STARTS_A_CHILD, LAUNCHER, SLEEP),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        child = int(await parent.stdout.readline())
        await eventually(lambda: command_of(child) == f"{SLEEP} 60")
    finally:
        parent.kill()
        await parent.communicate()
    await eventually(lambda: command_of(child) == "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("1", "--", SLEEP, "60"), "the supervisor (process 1) has ended"),
        ((str(os.getpid()), "--", "/no/such/etcd"), "/no/such/etcd: No such file"),
        ((str(os.getpid()), SLEEP), "usage: "),
    ],
)
def test_what_cannot_be_started_is_refused_with_the_reason(arguments, reason):
    ended = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCHER, *arguments], capture_output=True, check=False
    )
    assert 127 == ended.returncode
    assert reason in ended.stderr.decode()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_only_linux_can_promise_that(platform):
    with pytest.raises(ConfigError, match=f"runs on Linux only \\(this is {platform}\\)"):
        require_linux(platform)


async def launch(script: str) -> EtcdProcess:
    return await EtcdProcess.launch((SHELL, "-c", script), os.environ, logging.getLogger("test"))


async def test_stopping_asks_first(eventually):
    process = await launch("trap 'exit 5' TERM; echo ready >&2; while :; do sleep 0.01; done")
    await eventually(lambda: "ready" in process.complaints)
    assert 5 == await process.stop(50)


async def test_what_does_not_stop_in_time_is_killed(eventually):
    process = await launch("trap '' TERM; echo ready >&2; while :; do sleep 0.01; done")
    await eventually(lambda: "ready" in process.complaints)
    assert -9 == await process.stop(0.1)


async def test_stopping_what_has_ended_tells_how_it_ended():
    process = await launch("echo its last words >&2; exit 3")
    assert 3 == await process.wait()
    assert 3 == await process.stop(1)
    assert ("its last words",) == process.complaints
