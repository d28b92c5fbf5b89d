"""What ECS answers to ListTasks and DescribeTasks in a given world."""

from __future__ import annotations

import secrets
from typing import Any

from formal_cluster_conformance.ecs.documents import description
from formal_cluster_conformance.ecs.world import EcsTask, EcsWorld

PAGE = 100

_FILTERS = {"serviceName", "family", "launchType", "desiredStatus"}
_OTHER_PARAMETERS = {"cluster", "maxResults", "nextToken"}


class ApiError(Exception):
    """An error that ECS reports to the client."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class Actions:
    """The two actions, and the pages that clients have not fetched yet."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[dict[str, Any], list[str]]] = {}

    def answer(self, action: str, parameters: dict[str, Any], world: EcsWorld) -> dict[str, Any]:
        """The response to one call.

        Raises:
            ApiError: As ECS would refuse it.
            NotImplementedError: The call may be right, but is beyond this server.
        """
        if parameters.get("cluster", "default") not in {world.cluster, world.cluster_arn}:
            raise ApiError("ClusterNotFoundException", "Cluster not found.")
        if action == "ListTasks":
            return self._list(parameters, world)
        if action == "DescribeTasks":
            return _describe(parameters, world)
        raise NotImplementedError(f"{action} is not implemented here")

    def _list(self, parameters: dict[str, Any], world: EcsWorld) -> dict[str, Any]:
        if unsupported := parameters.keys() - _FILTERS - _OTHER_PARAMETERS:
            raise NotImplementedError(f"ListTasks with {', '.join(unsupported)}")
        size = parameters.get("maxResults", PAGE)
        if not 1 <= size <= PAGE:
            raise ApiError("InvalidParameterException", "maxResults must be between 1 and 100.")
        query = {k: v for k, v in parameters.items() if k not in {"nextToken", "maxResults"}}
        if "nextToken" in parameters:
            asked, arns = self._pages.get(parameters["nextToken"], ({}, []))
            if asked != query:
                raise ApiError("InvalidParameterException", "Invalid token.")
        else:
            arns = _listed(query, world)
        response: dict[str, Any] = {"taskArns": arns[:size]}
        if len(arns) > size:
            response["nextToken"] = token = secrets.token_urlsafe(24)
            self._pages[token] = query, arns[size:]
        return response


def _listed(query: dict[str, Any], world: EcsWorld) -> list[str]:
    service = query.get("serviceName", "").rpartition("/")[2]
    if service and service not in world.services:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    status: str = query.get("desiredStatus", "RUNNING")
    family: str | None = query.get("family")
    launch_type: str | None = query.get("launchType")

    def matches(task: EcsTask) -> bool:
        return (
            task.desired_status == status
            and (not service or task.service == service)
            and family in {None, task.family}
            and launch_type in {None, task.launch_type}
        )

    # By ARN, which is random: a client must not take the order for that of the tasks' starts.
    return sorted(task.arn for task in world.visible() if matches(task))


def _describe(parameters: dict[str, Any], world: EcsWorld) -> dict[str, Any]:
    asked = parameters["tasks"]
    if not 1 <= len(asked) <= PAGE:
        raise ApiError("InvalidParameterException", "Tasks must have 1 to 100 elements.")
    if parameters.get("include"):
        raise NotImplementedError("DescribeTasks with include")
    known = {task.arn: task for task in world.visible() if task.known}
    arns = [arn if ":" in arn else world.arn("task", world.cluster, arn) for arn in asked]
    return {
        "tasks": [description(world, known[arn]) for arn in arns if arn in known],
        "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known],
    }
