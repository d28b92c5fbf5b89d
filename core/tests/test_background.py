import asyncio

import pytest

from formal_cluster.background import background


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
