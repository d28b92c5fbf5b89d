"""Which tasks are the instances, and where they are asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from formal_cluster_discovery_ecs.metadata import TaskMetadata
from formal_cluster_discovery_ecs.settings import EcsSettings


@dataclass(frozen=True, slots=True)
class Target:
    """The tasks of a service, or without one those of a task definition family.

    Attributes:
        cluster: Its name or ARN.
        cluster_arn: Its ARN; None if only a name was configured.
    """

    region: str
    cluster: str
    cluster_arn: str | None
    service: str | None
    family: str

    @property
    def filters(self) -> dict[str, str]:
        """The arguments of ListTasks that select the tasks."""
        if self.service is not None:
            return {"serviceName": self.service}
        return {"family": self.family}


def target_of(settings: EcsSettings, me: TaskMetadata) -> Target:
    """Where this task is, unless the settings say otherwise."""
    configured = settings.cluster
    if configured is None:
        cluster_arn: str | None = me.cluster_arn
    else:
        cluster_arn = configured if configured.startswith("arn:") else None
    return Target(
        region=settings.region or me.region,
        cluster=configured or me.cluster,
        cluster_arn=cluster_arn,
        service=settings.service or me.service,
        family=me.family,
    )
