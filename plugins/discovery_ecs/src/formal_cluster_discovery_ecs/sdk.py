"""The AWS SDK: the only module that imports boto3, and so the last one that is imported.

Importing boto3 and building a client takes about half a second of one core, so both happen in the
worker threads of `api`, not in the event loop. Everything here blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_ecs.refusals import explain
from formal_cluster_discovery_ecs.target import Target

_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0
_ATTEMPTS = 3


class EcsClient:
    """ListTasks and DescribeTasks, one call each, retried by botocore when ECS throttles.

    Safe to use from several threads at once. Every method raises DiscoveryUnavailable.
    """

    def __init__(self, target: Target, endpoint_url: str | None, *, connections: int) -> None:
        self._target = target
        self._closing = threading.Event()
        try:
            self._client = boto3.session.Session().client(
                "ecs",
                region_name=target.region,
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    read_timeout=_READ_TIMEOUT_S,
                    retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
                    max_pool_connections=connections,
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise DiscoveryUnavailable(f"no ECS client can be made: {error}") from error
        # Without this, a call that is being retried would hold up the end of the process.
        self._client.meta.events.register("before-send.ecs", self._refuse_if_closing)

    def list_page(self, status: str, token: str | None) -> tuple[list[str], str | None]:
        """One page of task ARNs, and the token of the next page."""
        more = {} if token is None else {"nextToken": token}
        answer = self._call(
            "ListTasks",
            self._client.list_tasks,
            cluster=self._target.cluster,
            desiredStatus=status,
            **self._target.filters,
            **more,
        )
        return answer.get("taskArns", []), answer.get("nextToken")

    def describe(self, arns: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """The descriptions of at most 100 tasks, and the ARNs of those that ECS does not know."""
        answer = self._call(
            "DescribeTasks",
            self._client.describe_tasks,
            cluster=self._target.cluster,
            tasks=list(arns),
        )
        unknown = [failure["arn"] for failure in answer.get("failures", []) if "arn" in failure]
        return answer.get("tasks", []), unknown

    def close(self) -> None:
        """Close connections; a call under way ends with its present attempt."""
        self._closing.set()
        self._client.close()

    def _call(self, action: str, method: Any, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = method(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise explain(error, action, self._target) from error
        return answer

    def _refuse_if_closing(self, **_: object) -> None:
        if self._closing.is_set():
            raise DiscoveryUnavailable("discovery is being closed")
