"""The platform: an ECS service, scripted, that runs instances and vouches for their death."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from formal_cluster_conformance.ecs import EcsServer, EcsTask, EcsWorld, TaskMetadataServer
from formal_cluster_failover.beds import Bed
from formal_cluster_failover.certificates import Authority
from formal_cluster_failover.instance import POLICY, Instance

_NAME = "connector"
_DISCOVERY = """
[discovery]
drivers = ["ecs"]

[discovery.ecs]
interval = 0.5
confirm_stopped = 1.0
"""
# Nothing of the AWS account of whoever runs this.
_AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_UNWANTED = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN")


class Service:
    """Starts instances as tasks, each with an id, an address and a disk of its own.

    Attributes:
        bed: Where they live.
        instances: All that were ever started.
        store: What they all have in `[store.etcd]`, in TOML.
        etcd: The etcd program of all; the one that formal-cluster finds if None.
    """

    def __init__(
        self,
        bed: Bed,
        home: Path,
        world: EcsWorld,
        ecs: EcsServer,
        metadata: TaskMetadataServer,
        *,
        etcd: Path | None,
        authority: Authority | None,
    ) -> None:
        self.bed = bed
        self.home = home
        self.instances: list[Instance] = []
        self.store = ""
        self.etcd = etcd
        self._authority = authority
        self._world = world
        self._metadata = metadata
        self._environment = {**_AWS, "AWS_ENDPOINT_URL_ECS": ecs.url}
        self._tasks: dict[str, EcsTask] = {}
        self._names = itertools.count(1)
        self.policy = home / "policy.rego"
        self.policy.write_text(POLICY)

    def make(
        self,
        *,
        disk_of: Instance | None = None,
        etcd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Instance:
        """A new task, at a new address, that does not run yet.

        Args:
            disk_of: Whose disk it has; its own, empty, by default.
            etcd: The etcd program of this one.
            environment: Variables that this one has besides the usual ones.
        """
        place = self.bed.place()
        task = self._world.run(place.address, service=_NAME)
        name = f"i{next(self._names)}"
        home = disk_of.home if disk_of is not None else self.home / name
        instance = Instance(name, task.arn, place, self.bed.ports, home)
        self._tasks[instance.name] = task
        self.instances.append(instance)
        program = etcd or self.etcd
        binary = f'binary = "{program}"\n' if program is not None else ""
        tls = self._tls(instance) if self._authority is not None else ""
        instance.configure(
            _DISCOVERY,
            f"{self.store}{binary}\n{tls}",
            self.policy,
            {
                **self._environment,
                **(environment or {}),
                "ECS_CONTAINER_METADATA_URI_V4": self._metadata.uri(task),
            },
        )
        return instance

    def launch(self, count: int = 1) -> list[Instance]:
        """New tasks that run."""
        made = [self.make() for _ in range(count)]
        for instance in made:
            instance.start()
        return made

    def stopping(self, instance: Instance) -> None:
        """The platform wants it to stop; it still runs."""
        self._world.begin_stop(self._tasks[instance.name])

    def vouch(self, instance: Instance) -> None:
        """The platform says that it has stopped: the proof of its death."""
        self._world.stop(self._tasks[instance.name])

    def stop(self) -> None:
        """End all instances."""
        for instance in self.instances:
            instance.kill()

    def _tls(self, instance: Instance) -> str:
        assert self._authority is not None
        ca = self._authority.ca
        certificate, key = self._authority.issue(instance.place.address, instance.home)
        instance.etcdctl = (f"--cacert={ca}", f"--cert={certificate}", f"--key={key}")
        return f'[store.etcd.tls]\nca = "{ca}"\ncertificate = "{certificate}"\nkey = "{key}"\n'


@asynccontextmanager
async def service(bed: Bed, home: Path, *, etcd: Path | None, tls: bool) -> AsyncIterator[Service]:
    """A service without instances; those that it has in the end are ended."""
    for name in _UNWANTED:
        os.environ.pop(name, None)
    authority = Authority.make(home) if tls else None
    world = EcsWorld()
    async with (
        EcsServer(world, host=bed.platform) as ecs,
        TaskMetadataServer(world, host=bed.platform) as metadata,
    ):
        made = Service(bed, home, world, ecs, metadata, etcd=etcd, authority=authority)
        try:
            yield made
        finally:
            made.stop()
