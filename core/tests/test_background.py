import asyncio

import pytest

from formal_cluster.background import background, end


async def test_it_ends_with_the_context():
    began, ended = asyncio.Event(), asyncio.Event()

    async def work():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async with background(work(), name="work"):
        await began.wait()
        assert not ended.is_set()
    assert ended.is_set()


async def test_what_ended_it_is_raised_when_the_context_is_left():
    failed = asyncio.Event()

    async def work():
        failed.set()
        raise ValueError("wrong")

    async def beside_it():
        async with background(work(), name="work"):
            await failed.wait()

    with pytest.raises(ValueError, match="wrong"):
        await beside_it()


async def test_work_that_has_ended_well_is_no_error():
    async def work():
        pass

    async with background(work(), name="work"):
        await asyncio.sleep(0)


async def test_a_task_that_forgets_that_it_was_cancelled_is_ended_all_the_same(monkeypatch):
    monkeypatch.setattr("formal_cluster.background._AGAIN_S", 0.01)
    begun, failing = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        begun.set()
        await failing.wait()
        failing.clear()
        raise ConnectionResetError

    async def again_and_again() -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
            except* ConnectionResetError:  # as a driver does that connects again
                pass

    task = asyncio.create_task(again_and_again())
    await begun.wait()
    failing.set()  # so its tasks fail at the moment at which it is cancelled

    await end(task)

    assert task.done()
