"""The state server cannot start, or cannot go on: the instance serves alone and says so.

When the cause is gone it joins by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from formal_cluster.model import Grade
from formal_cluster_failover.history import Outcome
from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import DidNotHold, Run, Target
from formal_cluster_failover.scenario import FAKETIME, SANDBOX, Scenarios
from formal_cluster_failover.scenarios.kills import FOLLOWER

SCENARIOS = Scenarios()
_SAID_WITHIN_S = 60.0
_JOINS = Target(took_s=30.0)
_DISK = "400m"
_STRANGER = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print(flush=True)
time.sleep(1e6)
"""

Trouble = Callable[[Instance], AbstractContextManager[None]]
"""Makes the trouble on entering, takes it away on leaving."""


async def _start_in_trouble(
    run: Run, trouble: Trouble, says: str, *, etcd: Path | None = None, alone: bool = True
) -> None:
    """A third instance starts in trouble beside two that are well.

    Args:
        alone: Whether it cannot even be a client of the others.
    """
    pair = run.service.launch(2)
    await run.until_members(pair, voters=1, learners=1)
    await run.record(pair)
    third = run.service.make(etcd=etcd)
    with trouble(third):
        async with run.fault("a third instance starts in trouble", pair):
            third.start()
            await (_says_why(run, third, says) if alone else _logs(run, third, says))
    await _joins(run, third, pair)


async def _says_why(run: Run, instance: Instance, says: str) -> None:
    """Wait until it serves and names its trouble; it must then decide from memory."""

    async def it_does() -> bool:
        ready, body = await run.client.ready(instance)
        return ready and body["state"] == "standalone" and says in (body["reason"] or "")

    await run.until(f"{instance.name} is alone and says {says!r}", it_does, _SAID_WITHIN_S)
    _, body = await run.client.ready(instance)
    run.notes.append(f"It said: {body['reason']}")
    await _logs(run, instance, says)
    local = await run.client.hit(instance, Grade.EVENTUAL, f"alone-{instance.name}")
    if local.outcome is not Outcome.ADMITTED:
        raise DidNotHold(f"{instance.name}, alone, does not decide from memory: {local.outcome}")
    shared = await run.client.hit(instance, Grade.STRICT, "nobody")
    if shared.outcome is not Outcome.REFUSED:
        raise DidNotHold(f"{instance.name}, alone, decides strictly: {shared.outcome}")


async def _logs(run: Run, instance: Instance, says: str) -> None:
    async def it_does() -> bool:
        return says in instance.log.read_text()

    await run.until(f"{instance.name} logs {says!r}", it_does, _SAID_WITHIN_S)


async def _joins(run: Run, instance: Instance, others: list[Instance]) -> None:
    async with run.timed("the cause is gone: it joins by itself", _JOINS):
        await run.until_member(instance, others)
    run.recorder.add(instance)
    await run.until_members([*others, instance], voters=3)
    await run.until_right([*others, instance], within_s=20)


# ── it cannot start ──────────────────────────────────────────────────────────────────────────


@SCENARIOS.add("no-directory", "the data directory cannot be made")
async def no_directory(run: Run) -> None:
    """A file is where it should be."""

    @contextmanager
    def trouble(instance: Instance) -> Iterator[None]:
        instance.data_dir.write_text("a file where the directory should be")
        yield
        instance.data_dir.unlink()

    await _start_in_trouble(run, trouble, "cannot be used")


@SCENARIOS.add("read-only", "the data directory is read-only", needs=SANDBOX)
async def read_only(run: Run) -> None:
    """A read-only file system; root ignores the mode of a directory."""

    @contextmanager
    def trouble(instance: Instance) -> Iterator[None]:
        run.service.bed.disk(instance.data_dir, _DISK)
        run.service.bed.write_protect(instance.data_dir, on=True)
        yield
        run.service.bed.write_protect(instance.data_dir, on=False)

    await _start_in_trouble(run, trouble, "Read-only file system")


@SCENARIOS.add("disk-full-at-start", "the disk is full at the start", needs=SANDBOX)
async def disk_full_at_start(run: Run) -> None:
    """Not even the identity can be written."""

    @contextmanager
    def trouble(instance: Instance) -> Iterator[None]:
        run.service.bed.disk(instance.data_dir, _DISK)
        with _filled(instance.data_dir):
            yield

    await _start_in_trouble(run, trouble, "No space left on device")


@SCENARIOS.add("port-taken", "another program has the peer port", needs=SANDBOX)
async def port_taken(run: Run) -> None:
    """A stranger listens there, and does not speak etcd."""

    @contextmanager
    def trouble(instance: Instance) -> Iterator[None]:
        stranger = subprocess.Popen(
            [
                *(*instance.place.prefix, "python3", "-c"),
                _STRANGER,
                *(instance.place.address, str(instance.ports.peer)),
            ],
            stdout=subprocess.PIPE,
        )
        try:
            assert stranger.stdout is not None
            stranger.stdout.readline()
            yield
        finally:
            stranger.kill()
            stranger.communicate()

    await _start_in_trouble(run, trouble, "Address already in use")


@SCENARIOS.add("no-binary", "the etcd program is missing")
async def no_binary(run: Run) -> None:
    """The path in the settings leads nowhere for a while."""
    await _with_program(run, None, "is not a program that may be run", alone=True)


@SCENARIOS.add("crash-loop", "the etcd program crashes again and again")
async def crash_loop(run: Run) -> None:
    """It tells its version and its flags, and ends as soon as it is started.

    The instance is a client of the others meanwhile.
    """
    program = (
        '#!/bin/sh\ncase "$1" in --version|--help) exec {etcd} "$1";; esac\n'
        "echo 'a bad day' >&2\nexit 3\n"
    )
    await _with_program(run, program, "etcd ended with status 3", alone=False)


async def _with_program(run: Run, script: str | None, says: str, *, alone: bool) -> None:
    program = run.service.home / "etcd"
    real = str(run.service.etcd or shutil.which("etcd"))

    @contextmanager
    def trouble(_: Instance) -> Iterator[None]:
        if script is not None:
            program.write_text(script.format(etcd=real))
            program.chmod(0o755)
        yield
        program.unlink(missing_ok=True)
        program.symlink_to(real)

    await _start_in_trouble(run, trouble, says, etcd=program, alone=alone)


@SCENARIOS.add("clock", "an instance's clock is three hours fast", needs=FAKETIME)
async def clock(run: Run) -> None:
    """Time is the log's, so it joins, and its counts are everybody's."""
    pair = run.service.launch(2)
    await run.until_members(pair, voters=1, learners=1)
    await run.record(pair)
    library = faketime()
    assert library is not None
    third = run.service.make(
        environment={
            "LD_PRELOAD": str(library),
            "FAKETIME": "+3h",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    )
    async with run.fault("an instance with a wrong clock starts", pair):
        third.start()
        await run.until_member(third, pair)
    run.recorder.add(third)
    await run.until_members([*pair, third], voters=3)
    await run.until_right([*pair, third], within_s=20)


# ── it cannot go on ──────────────────────────────────────────────────────────────────────────


@SCENARIOS.add("disk-full", "a follower's disk fills up while it runs", needs=SANDBOX)
async def disk_full(run: Run) -> None:
    """Its etcd ends; the instance goes on as a client of the others until there is space."""
    instances = [run.service.make() for _ in range(3)]
    for instance in instances:
        run.service.bed.disk(instance.data_dir, _DISK)
        instance.start()
    await run.until_members(instances, voters=3)
    await run.record(instances)
    victim, other = await run.followers()
    rest = [other, await run.leader()]
    with _filled(victim.data_dir):
        async with run.fault("the disk is full", rest, Target(eventual_s=0.0, strict_s=1.0)):
            victim.gone.append(time.monotonic())
            await _logs(run, victim, "is full")
        await run.until_right(instances, within_s=30)
    await _is_back(run, victim, instances)


@SCENARIOS.add("damaged", "a follower is started again with damaged data")
async def damaged(run: Run) -> None:
    """It says what to do; when that is done it joins with a fresh copy."""
    instances = await run.cluster(3)
    victim, other = await run.followers()
    rest = [other, await run.leader()]
    async with run.fault("a follower is killed, and its data damaged", rest, FOLLOWER):
        victim.kill()
        newest = max((victim.data_dir / "member" / "wal").glob("*.wal"))
        with newest.open("r+b") as file:
            file.seek(200)
            file.write(os.urandom(400))
        victim.start()
        await _says_why(run, victim, "is damaged")
    (victim.data_dir / "member").rename(victim.home / "moved-away")
    await _is_back(run, victim, instances)


@SCENARIOS.add("quota", "the database reaches its quota")
async def quota(run: Run) -> None:
    """Nothing can be written until somebody makes space; then all goes on by itself."""
    run.service.store += "quota_backend_bytes = 67108864\n"
    instances = await run.cluster(3)
    leader = await run.leader()
    _fill_database(leader)
    await run.stays_refused(instances, for_s=5)
    _, body = await run.client.ready(leader)
    run.notes.append(f"It said: {body['reason']}")
    async with run.fault("an operator makes space", instances):
        _empty_database(instances)


async def _is_back(run: Run, victim: Instance, instances: list[Instance]) -> None:
    others = [instance for instance in instances if instance is not victim]
    async with run.timed("the cause is gone: it is a member again by itself", _JOINS):
        await run.until_member(victim, others)
    await run.until_members(instances, voters=3)
    await run.until_right(instances, within_s=20)


@contextmanager
def _filled(path: Path) -> Iterator[None]:
    """Leave no byte free on the file system of `path`."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    try:
        yield
    finally:
        ballast.unlink()


def _fill_database(instance: Instance) -> None:
    """Write until etcd refuses to."""
    for number in range(200):
        done = _etcdctl(instance, "put", f"/ballast/{number}", stdin="x" * 1_000_000)
        if "database space exceeded" in done:
            return
    raise DidNotHold("etcd takes more than its quota")


def _empty_database(instances: list[Instance]) -> None:
    """What etcd's documentation tells an operator to do."""
    _etcdctl(instances[0], "del", "--prefix", "/ballast/")
    status = json.loads(_etcdctl(instances[0], "endpoint", "status", "--write-out=json"))
    revision = status[0]["Status"]["header"]["revision"]
    _etcdctl(instances[0], "compact", "--physical", str(revision))
    for instance in instances:
        _etcdctl(instance, "defrag")
    _etcdctl(instances[0], "alarm", "disarm")


def _etcdctl(instance: Instance, *arguments: str, stdin: str = "") -> str:
    """What etcdctl says to that etcd."""
    scheme = "https" if instance.etcdctl else "http"
    endpoint = f"{scheme}://{instance.place.address}:{instance.ports.client}"
    done = subprocess.run(
        [
            *instance.place.prefix,
            "etcdctl",
            f"--endpoints={endpoint}",
            *instance.etcdctl,
            *arguments,
        ],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    return done.stdout + done.stderr


def faketime() -> Path | None:
    """The library that gives a process another time, where it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
