"""Work that goes on beside something else, and how it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final

_AGAIN_S: Final = 5.0


@asynccontextmanager
async def background(work: Coroutine[object, object, None], *, name: str) -> AsyncIterator[None]:
    """Run `work` while the context lasts, then cancel it and wait until it has ended.

    Raises:
        Exception: What ended the work by itself, once the context is left.
    """
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await end(task)
        if not task.cancelled():
            task.result()


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended. How it ended is not told.

    To ask once is not enough for a task with a task group: one whose tasks fail at that moment
    raises their errors and forgets that it was cancelled (CPython before 3.13).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()  # or it would be reported as never looked at
