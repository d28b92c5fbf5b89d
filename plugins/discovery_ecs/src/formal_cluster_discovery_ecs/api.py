"""ECS for the event loop: every page, every batch, in a few threads.

A call cannot be interrupted in its thread, but each one is short: waiting for it can be given up
at any time, and whatever has not begun is then never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from formal_cluster_discovery_ecs.pacing import PAGE
from formal_cluster_discovery_ecs.target import Target

if TYPE_CHECKING:
    from formal_cluster_discovery_ecs.sdk import EcsClient

T = TypeVar("T")

_THREADS = 4


class EcsApi:
    """The tasks of one cluster that `target` selects. Every method raises DiscoveryUnavailable."""

    def __init__(self, target: Target, endpoint_url: str | None) -> None:
        self._target = target
        self._endpoint_url = endpoint_url
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="formal-cluster-ecs")
        self._client: EcsClient | None = None
        self._connecting = asyncio.Lock()

    async def list_tasks(self) -> tuple[list[str], list[str]]:
        """The ARNs of all tasks that ECS wants to run, and of all that it wants to be stopped."""
        running, stopped = await _all(self._every_page("RUNNING"), self._every_page("STOPPED"))
        return running, stopped

    async def describe(self, arns: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """The descriptions of these tasks, and the ARNs of those that ECS does not know."""
        client = await self._connected()
        batches = [arns[start : start + PAGE] for start in range(0, len(arns), PAGE)]
        answers = await _all(*(self._in_thread(client.describe, batch) for batch in batches))
        described = [task for tasks, _ in answers for task in tasks]
        return described, [arn for _, missing in answers for arn in missing]

    async def aclose(self) -> None:
        """Close connections and threads; waits for the attempts that are under way."""
        if self._client is not None:
            self._client.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _every_page(self, status: str) -> list[str]:
        client = await self._connected()
        arns, token = await self._in_thread(client.list_page, status, None)
        while token is not None:
            page, token = await self._in_thread(client.list_page, status, token)
            arns.extend(page)
        return arns

    async def _connected(self) -> EcsClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._in_thread(self._connect)
            return self._client

    def _connect(self) -> EcsClient:
        from formal_cluster_discovery_ecs.sdk import EcsClient

        return EcsClient(self._target, self._endpoint_url, connections=_THREADS)

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)


async def _all(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all calls; if one fails, the others are given up and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
