"""Blocking work that has ended when the call has ended, also when the call was cancelled.

`asyncio.to_thread` leaves the thread running when it is cancelled. Whoever cleans up then would do
so under the hands of the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a blocking function in a thread. A cancellation takes effect when it has returned."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        work.exception()  # an error of what nobody waits for any more is not worth a complaint
        raise
