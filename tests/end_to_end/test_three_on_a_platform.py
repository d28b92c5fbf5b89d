"""Three instances that only their platform can introduce to each other, and a replacement of one.

Each instance runs in a task or a pod with an address and a disk of its own. What the platform says
is scripted; the servers that say it are real, and so is everything that asks them.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from formal_cluster_conformance.ecs import EcsServer, EcsTask, EcsWorld, TaskMetadataServer
from formal_cluster_conformance.k8s import ApiServer, World, credentials

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 5
DOCUMENT = Path(__file__).parents[2] / "docs" / "run-on-kubernetes.md"
ROLES = ("formal-cluster", "formal-cluster-nodes")

ECS = """
[discovery]
drivers = ["ecs"]

[discovery.ecs]
interval = 0.5
confirm_stopped = 1.0
"""
K8S = """
[discovery]
drivers = ["k8s"]

[discovery.k8s]
service_account = "{service_account}"
gone_margin = 2.0
"""


class Platform:
    """Starts instances with a new id and a new address each, and loses them.

    Whether an instance runs is up to its `Instance`; `lost` is what the platform says about it.
    """

    def __init__(self, site: Any) -> None:
        self.site = site
        addresses = site.addresses(4)
        self._addresses = iter(addresses)
        self._ports = site.common_ports(addresses)

    async def launch(self) -> Any:
        """One more instance; it starts."""
        address = next(self._addresses)
        discovery, environment = await self.place(address)
        return self.site.join(address, self._ports, discovery, environment)

    async def place(self, address: str) -> tuple[str, dict[str, str]]:
        """A task or pod for an instance: its settings about discovery, and its environment."""
        raise NotImplementedError

    async def lost(self, instance: Any) -> None:
        """The platform has noticed that the instance is dead."""
        raise NotImplementedError


class EcsService(Platform):
    """The tasks of a service."""

    def __init__(self, site: Any, world: EcsWorld, metadata: TaskMetadataServer) -> None:
        super().__init__(site)
        self._world = world
        self._metadata = metadata
        self._tasks: dict[str, EcsTask] = {}

    async def place(self, address: str) -> tuple[str, dict[str, str]]:
        task = self._world.run(address, service="connector")
        self._tasks[address] = task
        return ECS, {"ECS_CONTAINER_METADATA_URI_V4": self._metadata.uri(task)}

    async def lost(self, instance: Any) -> None:
        self._world.stop(self._tasks[instance.address])


class Deployment(Platform):
    """The pods of a Deployment, all on one node."""

    def __init__(self, site: Any, world: World, service_account: Path, node: str) -> None:
        super().__init__(site)
        self._world = world
        self._settings = K8S.format(service_account=service_account)
        self._node = node
        self._pods: dict[str, dict[str, Any]] = {}

    async def place(self, address: str) -> tuple[str, dict[str, str]]:
        pod = await self._world.running_pod(
            f"connector-5d4f-{len(self._pods)}",
            address,
            labels={"pod-template-hash": "5d4f"},
            owner=("ReplicaSet", "connector-5d4f"),
            node=self._node,
            grace_s=1,
        )
        self._pods[address] = pod
        metadata = pod["metadata"]
        return self._settings, {
            "POD_NAME": metadata["name"],
            "POD_NAMESPACE": metadata["namespace"],
            "POD_UID": metadata["uid"],
            "POD_IP": address,
        }

    async def lost(self, instance: Any) -> None:
        """Its node reports that the pod has failed, and the pod stays listed."""
        await self._world.finish(self._pods[instance.address], "Failed")


class ForcefulDeployment(Deployment):
    """Here dead pods are deleted by force; all that vouches for their death is their node."""

    async def lost(self, instance: Any) -> None:
        await self._world.vanish(self._pods[instance.address])


@asynccontextmanager
async def ecs_service(
    site: Any, directory: Path, environment: pytest.MonkeyPatch
) -> AsyncIterator[Platform]:
    """A scripted ECS, and nothing of the AWS account of whoever runs the tests."""
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        environment.delenv(variable, raising=False)
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    environment.setenv("AWS_CONFIG_FILE", str(directory / "none"))
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(directory / "none"))
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    world = EcsWorld()
    async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
        environment.setenv("AWS_ENDPOINT_URL_ECS", ecs.url)
        yield EcsService(site, world, metadata)
        site.stop()
        assert {"ListTasks", "DescribeTasks"} == set(ecs.actions)


@asynccontextmanager
async def deployment(
    site: Any,
    directory: Path,
    environment: pytest.MonkeyPatch,
    kind: type[Deployment] = Deployment,
) -> AsyncIterator[Platform]:
    """A namespace on a scripted API server, with the permissions that the documentation grants."""
    async with ApiServer(directory) as server, server.world("proxies") as world:
        if server.ca_file is None:
            pytest.skip("needs HTTPS, and so the openssl program: a pod has no other connection")
        for role in documented_roles():
            await world.grant(role)
        service_account = credentials.write_service_account(
            directory / "serviceaccount",
            token=await world.token(),
            ca_file=server.ca_file,
            namespace=world.namespace,
        )
        node = await world.node("one")
        parts = urlsplit(server.url)
        environment.setenv("KUBERNETES_SERVICE_HOST", str(parts.hostname))
        environment.setenv("KUBERNETES_SERVICE_PORT", str(parts.port))
        yield kind(site, world, service_account, node["metadata"]["name"])
        site.stop()


def documented_roles() -> list[dict[str, Any]]:
    """Those that the documentation asks for, for any namespace."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    roles = [
        document
        for document in documents
        if document.get("kind") in {"Role", "ClusterRole"} and document["metadata"]["name"] in ROLES
    ]
    for role in roles:
        role["metadata"].pop("namespace", None)
    return roles


@pytest.fixture(
    params=[
        pytest.param(ecs_service, id="task-stopped"),
        pytest.param(deployment, id="pod-failed"),
        pytest.param(partial(deployment, kind=ForcefulDeployment), id="pod-deleted-by-force"),
    ]
)
async def platform(
    request: Any, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Platform]:
    async with request.param(site, tmp_path, monkeypatch) as platform:
        yield platform


async def _blocked_everywhere(site: Any, instances: Any, user: str, **entity: str) -> bool:
    return all([await site.access(i, user, **entity) == "block" for i in instances])


async def _until_all_have_all_hits(site: Any, instances: Any) -> None:
    """From then on the eventual counters of all instances agree, and may be asserted at once."""

    async def settled() -> bool:
        counters = [(await site.get(i, "/v1/cluster"))["counters"] for i in instances]
        return (
            all(each["pending"] == 0 for each in counters)
            and len({each["revision"] for each in counters}) == 1
        )

    await site.until("all instances have all hits", settled)


async def _voters(site: Any, instance: Any) -> set[str]:
    body = await site.get(instance, "/v1/cluster")
    return {member["id"] for member in body["members"] if member["role"] == "voter"}


async def _own_id(site: Any, instance: Any) -> str:
    return str((await site.get(instance, "/v1/cluster"))["self"])


async def test_a_limit_holds_across_instances_and_through_the_replacement_of_one(
    site: Any, platform: Platform
) -> None:
    a, b, c = [await platform.launch() for _ in range(3)]
    await site.until_voters(3, seen_by=[a, b, c])
    lost = await _own_id(site, a)

    for instance in itertools.islice(itertools.cycle([a, b, c]), LIMIT):
        assert "allow" == await site.access(instance, "alice")
        assert "allow" == await site.access(instance, "alice", table="ledger")
    assert await _blocked_everywhere(site, [a, b, c], "alice", table="ledger")
    await _until_all_have_all_hits(site, [a, b, c])
    assert await _blocked_everywhere(site, [a, b, c], "alice")
    assert "allow" == await site.access(b, "bob")

    a.kill_everything()
    await platform.lost(a)
    d = await platform.launch()

    async def d_has_replaced_a() -> bool:
        members = {await _own_id(site, instance) for instance in (b, c, d)}
        assert lost not in members
        return all([members == await _voters(site, instance) for instance in (b, c, d)])

    await site.until("d is a voter, and a is no member", d_has_replaced_a)
    await site.until_voters(3, seen_by=[b, c, d])
    assert await _blocked_everywhere(site, [d, b, c], "alice")
    assert await _blocked_everywhere(site, [d, b, c], "alice", table="ledger")

    hits = [site.access(i, "carol", table="ledger") for i in (b, c, d) for _ in range(LIMIT)]
    assert LIMIT == (await asyncio.gather(*hits)).count("allow")
