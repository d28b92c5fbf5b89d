"""A state server that cannot start, or cannot go on, and that mends itself when the cause is gone.

What the instance says and does the first moment is in `test_supervisor_faults`; full and read-only
file systems are among the failover scenarios, which may mount some.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest

from formal_cluster.errors import NotWritable, OutcomeUnknown, Unavailable
from formal_cluster.model import Instance, Role, StoreState

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(300)]


@pytest.fixture
def program(tmp_path: Path, etcd_binary: str):
    """A path for an etcd program, and how to put the real one there."""
    path = tmp_path / "etcd"

    def mend() -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(shutil.which(etcd_binary))

    return path, mend


async def test_a_program_that_is_installed_later_is_found(fleet, eventually, program):
    path, mend = program
    (one,) = fleet(1, binary=path)
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    mend()
    await eventually(lambda: one.serves)


async def test_a_program_that_crashes_is_tried_again_more_and_more_seldom(
    fleet, eventually, program, etcd_binary, tmp_path
):
    path, mend = program
    tries = tmp_path / "tries"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in --version|--help) exec {etcd_binary} "$1";; esac\n'
        f"date +%s.%N >>{tries}\necho 'a bad day' >&2\nexit 3\n"
    )
    path.chmod(0o755)
    (one,) = fleet(1, binary=path)
    await one.start()
    await eventually(lambda: "etcd ended with status 3" in one.error)
    assert "a bad day" in one.error
    assert StoreState.FAILED is one.status.state
    await eventually(lambda: len(tries.read_text().splitlines()) >= 4)
    first, *_, last = (float(at) for at in tries.read_text().splitlines())
    assert last - first > 0.15 + 0.3 + 0.6
    mend()
    await eventually(lambda: one.serves)


async def test_damaged_data_that_is_moved_away_as_told_is_replaced_by_the_others(
    fleet, start_all, eventually, caplog
):
    one, two = fleet(2)
    await start_all([one, two])
    await eventually(lambda: one.members(Role.LEARNER) and two.members(Role.LEARNER))
    await one.put(b"key", b"kept")
    learner, voter = (one, two) if one.status.role is Role.LEARNER else (two, one)
    await learner.stop()
    newest = max((learner.data_dir / "member" / "wal").glob("*.wal"))
    with newest.open("r+b") as file:
        file.seek(200)
        file.write(os.urandom(400))
    await learner.start()
    await eventually(lambda: learner.error.startswith(f"the data in {learner.data_dir} is damaged"))
    assert f"move {learner.data_dir}/member away" in learner.error
    assert voter.serves

    # The next pauses are seconds long, and the status document is served during them: the data
    # goes when the next try is prepared already.
    await eventually(lambda: caplog.messages.count("the state server does not run") > 3)
    await eventually(lambda: _listens(learner.instance))
    (learner.data_dir / "member").rename(learner.data_dir.with_name("moved-away"))
    await eventually(lambda: voter.members(Role.LEARNER) == {learner.id})
    await eventually(lambda: learner.serves)
    assert b"kept" == await learner.read(b"key")


async def _listens(instance: Instance) -> bool:
    try:
        _, writer = await asyncio.open_connection(instance.address, instance.peer_port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_a_full_database_refuses_writes_with_its_reason_and_is_read_on(fleet, eventually):
    (one,) = fleet(1, quota_backend_bytes=64 << 20)
    await one.start()
    await eventually(lambda: one.serves)
    await one.put(b"before", b"kept")

    async def fill() -> None:
        for number in range(100):
            with contextlib.suppress(OutcomeUnknown, Unavailable):
                await one.store.put(b"ballast/%d" % number, bytes(1 << 20))

    with pytest.raises(NotWritable, match="space"):
        await fill()
    assert b"kept" == await one.read(b"before")
