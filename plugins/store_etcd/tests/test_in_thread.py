"""Blocking work has ended when its call has ended."""

from __future__ import annotations

import asyncio
import threading

import pytest

from formal_cluster_store_etcd.member.in_thread import in_thread


async def test_its_result_and_its_error_are_the_calls():
    assert 3 == await in_thread(int, "11", base=2)
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(int, "x")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_waits_for_the_thread(fails):
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go_on.wait(50)
        ended.set()
        if fails:
            raise OSError("after the cancellation")

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
