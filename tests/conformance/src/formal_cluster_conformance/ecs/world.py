"""The script: which tasks exist, what becomes of them, and what time it is.

Times are those of the wall clock, moved forward by `advance`. A stopped task is visible for an
hour, as on ECS; then it is neither listed nor known.
"""

from __future__ import annotations

import copy
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

STOPPED_VISIBLE_S = 3600.0

_ZONES = ("a", "b", "c")


@dataclass(slots=True)
class EcsTask:
    """One task. Change it through its world, which keeps `version` and the times right.

    Attributes:
        address: IPv4 address of its network interface, None while it has none.
        ipv6_address: Likewise the IPv6 address.
        network_mode: awsvpc, bridge or host. Only awsvpc has a network interface of its own.
        known: Whether DescribeTasks knows it. ListTasks lists it in any case.
    """

    arn: str
    cluster: str
    family: str
    revision: int
    service: str | None
    zone: str
    launch_type: str
    network_mode: str
    created_at: float
    address: str | None = None
    ipv6_address: str | None = None
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    connectivity: str = "CONNECTED"
    health: str = "UNKNOWN"
    version: int = 1
    started_at: float | None = None
    stopping_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    known: bool = True

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]


@dataclass(slots=True)
class EcsWorld:
    """The tasks of one account and region, in one cluster."""

    region: str = "eu-central-1"
    account: str = "123456789012"
    cluster: str = "connectors"
    services: set[str] = field(default_factory=set)
    tasks: dict[str, EcsTask] = field(default_factory=dict)
    _ahead_s: float = 0.0

    @property
    def now(self) -> float:
        """Seconds since the Unix epoch, as this world has it."""
        return time.time() + self._ahead_s

    @property
    def cluster_arn(self) -> str:
        """The ARN of the cluster."""
        return self.arn("cluster", self.cluster)

    def arn(self, *parts: str) -> str:
        """An ARN of this account and region."""
        return f"arn:aws:ecs:{self.region}:{self.account}:{'/'.join(parts)}"

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead_s += seconds

    def snapshot(self) -> Self:
        """This world as it is now, for stale reads."""
        return copy.deepcopy(self)

    def visible(self) -> list[EcsTask]:
        """The tasks that ECS has not forgotten."""
        oldest = self.now - STOPPED_VISIBLE_S
        return [
            task
            for task in self.tasks.values()
            if task.stopped_at is None or task.stopped_at > oldest
        ]

    # ── what becomes of tasks ────────────────────────────────────────────────────────────────

    def provision(
        self,
        *,
        service: str | None = None,
        family: str = "connector",
        revision: int = 1,
        launch_type: str = "FARGATE",
        network_mode: str = "awsvpc",
    ) -> EcsTask:
        """A new task, PROVISIONING, without an address."""
        task = EcsTask(
            arn=self.arn("task", self.cluster, uuid.uuid4().hex),
            cluster=self.cluster,
            family=family,
            revision=revision,
            service=service,
            zone=self.region + _ZONES[len(self.tasks) % len(_ZONES)],
            launch_type=launch_type,
            network_mode=network_mode,
            created_at=self.now,
        )
        if service is not None:
            self.services.add(service)
        self.tasks[task.arn] = task
        return task

    def attach(
        self, task: EcsTask, address: str | None = None, *, ipv6_address: str | None = None
    ) -> None:
        """Its network interface is attached; the task is PENDING."""
        task.address, task.ipv6_address = address, ipv6_address
        self._change(task, "PENDING")

    def start(self, task: EcsTask) -> None:
        """Its containers run."""
        task.started_at = self.now
        self._change(task, "RUNNING")

    def run(
        self,
        address: str | None = None,
        *,
        ipv6_address: str | None = None,
        service: str | None = None,
        family: str = "connector",
        revision: int = 1,
        launch_type: str = "FARGATE",
        network_mode: str = "awsvpc",
    ) -> EcsTask:
        """A new task that runs."""
        task = self.provision(
            service=service,
            family=family,
            revision=revision,
            launch_type=launch_type,
            network_mode=network_mode,
        )
        self.attach(task, address, ipv6_address=ipv6_address)
        self.start(task)
        return task

    def move(self, task: EcsTask, last_status: str) -> None:
        """Bring it into any other state of its life, such as ACTIVATING or DEPROVISIONING."""
        self._change(task, last_status)

    def begin_stop(
        self,
        task: EcsTask,
        code: str = "ServiceSchedulerInitiated",
        reason: str = "Scaling activity initiated by deployment ecs-svc/1",
    ) -> None:
        """ECS wants it to stop; its containers still run."""
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason = code, reason
        task.stopping_at = self.now
        self._change(task, "DEACTIVATING")

    def stop(
        self,
        task: EcsTask,
        code: str = "EssentialContainerExited",
        reason: str = "Essential container in task exited",
    ) -> None:
        """It has stopped."""
        self.begin_stop(task, code, reason)
        task.stopped_at = self.now
        self._change(task, "STOPPED")

    def orphan(self, task: EcsTask) -> None:
        """Its EC2 host is deregistered by force: reported as stopped, yet its containers run on."""
        task.connectivity = "DISCONNECTED"
        self.stop(task, "UserInitiated", "Container instance deregistration forced by user")

    def disconnect(self, task: EcsTask) -> None:
        """The agent of its host has lost its connection."""
        task.connectivity = "DISCONNECTED"
        self._change(task, task.last_status)

    def reconnect(self, task: EcsTask) -> None:
        """The agent is back."""
        task.connectivity = "CONNECTED"
        self._change(task, task.last_status)

    def judge(self, task: EcsTask, health: str) -> None:
        """Its health checks say HEALTHY, UNHEALTHY or UNKNOWN."""
        task.health = health
        self._change(task, task.last_status)

    def misplace(self, task: EcsTask) -> None:
        """ListTasks lists it, DescribeTasks says MISSING: the two lag behind each other."""
        task.known = False

    def find(self, task: EcsTask) -> None:
        """DescribeTasks knows it again."""
        task.known = True

    def forget(self, task: EcsTask) -> None:
        """ECS neither lists nor knows it any more, and never said why."""
        del self.tasks[task.arn]

    def _change(self, task: EcsTask, last_status: str) -> None:
        task.last_status = last_status
        task.version += 1
