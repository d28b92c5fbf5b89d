"""The task metadata endpoint, version 4: what the container agent tells each task of itself."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiohttp import web

from formal_cluster_conformance.ecs import documents
from formal_cluster_conformance.ecs.world import EcsTask, EcsWorld
from formal_cluster_conformance.listener import serving


class TaskMetadataServer:
    """The endpoints of all tasks of a world, on a free port of `host`.

    Attributes:
        overrides: Members that replace those of the `/task` documents; None removes a member.
        reads: How many documents were asked for.
    """

    def __init__(self, world: EcsWorld, host: str = "127.0.0.1") -> None:
        self._world = world
        self._host = host
        self._base = ""
        self._failures_left = 0
        self.overrides: dict[str, Any] = {}
        self.reads = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v4/{task}", self._container)
        app.router.add_get("/v4/{task}/task", self._task)
        self._serving = serving(app, self._host)
        self._base = f"{await self._serving.__aenter__()}/v4"
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._serving.__aexit__(None, None, None)

    def uri(self, task: EcsTask) -> str:
        """The value of `ECS_CONTAINER_METADATA_URI_V4` in the task's container."""
        return f"{self._base}/{task.id}"

    def fail(self, times: int) -> None:
        """Answer the next requests with status 500."""
        self._failures_left = times

    async def _container(self, request: web.Request) -> web.Response:
        task = self._asked_for(request)
        return web.json_response(documents.container_metadata(self._world, task))

    async def _task(self, request: web.Request) -> web.Response:
        task = self._asked_for(request)
        document = documents.metadata(self._world, task) | self.overrides
        return web.json_response({k: v for k, v in document.items() if v is not None})

    def _asked_for(self, request: web.Request) -> EcsTask:
        self.reads += 1
        if self._failures_left:
            self._failures_left -= 1
            raise web.HTTPInternalServerError(text="failed to get task metadata")
        for task in self._world.tasks.values():
            if task.id == request.match_info["task"]:
                return task
        raise web.HTTPNotFound(text="no such container")
