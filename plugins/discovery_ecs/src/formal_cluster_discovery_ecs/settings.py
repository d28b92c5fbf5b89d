"""The settings of discovery driver `ecs`. On a standard service none of them is needed."""

from __future__ import annotations

from pydantic import Field

from formal_cluster.hookspecs import DriverSettings


class EcsSettings(DriverSettings):
    """`[discovery.ecs]`"""

    region: str | None = Field(
        default=None, min_length=1, description="AWS region. Default: the one the task runs in."
    )
    cluster: str | None = Field(
        default=None,
        min_length=1,
        description="Name or ARN of the ECS cluster. Default: the one the task runs in.",
    )
    service: str | None = Field(
        default=None,
        min_length=1,
        description="The service whose tasks are the instances. Default: the task's own service, "
        "or for a task of no service all tasks of its task definition family.",
    )
    endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="URL of the ECS API. Default: AWS_ENDPOINT_URL_ECS, else the region's.",
    )
    interval: float = Field(
        default=10.0,
        gt=0,
        description="Shortest time between two looks, in seconds. Large services look less often: "
        "all instances together make about 10 calls a second.",
    )
    timeout: float = Field(
        default=20.0,
        gt=0,
        description="Seconds that one look may take, retries included.",
    )
    confirm_stopped: float = Field(
        default=10.0,
        ge=0,
        description="An instance counts as stopped when two looks at least this many seconds "
        "apart agree.",
    )
