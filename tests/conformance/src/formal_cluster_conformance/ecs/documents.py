"""How ECS describes a task, in DescribeTasks and in the task's own metadata."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from formal_cluster_conformance.ecs.world import EcsTask, EcsWorld

_CLOCK_ERROR_BOUND_MS = 0.3148955
_NAMESPACE = uuid.UUID("b5d1a5b4-6f5c-4c0a-9a52-6a9a5a1f1f10")


def description(world: EcsWorld, task: EcsTask) -> dict[str, Any]:
    """One entry of DescribeTasks' `tasks`."""
    attachment = _derived_id(task, "eni")
    document: dict[str, Any] = {
        "attachments": _attachments(task, attachment),
        "availabilityZone": task.zone,
        "clusterArn": world.cluster_arn,
        "connectivity": task.connectivity,
        "connectivityAt": _moment(task.created_at),
        "containers": [_container(world, task, attachment)],
        "cpu": "256",
        "createdAt": _moment(task.created_at),
        "desiredStatus": task.desired_status,
        "enableExecuteCommand": False,
        "group": f"service:{task.service}" if task.service else f"family:{task.family}",
        "healthStatus": task.health,
        "lastStatus": task.last_status,
        "launchType": task.launch_type,
        "memory": "512",
        "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
        "tags": [],
        "taskArn": task.arn,
        "taskDefinitionArn": _task_definition(world, task),
        "version": task.version,
    }
    if task.launch_type == "FARGATE":
        document |= {"platformFamily": "Linux", "platformVersion": "1.4.0"}
    else:
        document["containerInstanceArn"] = world.arn(
            "container-instance", task.cluster, _derived_id(task, "host").hex
        )
    if task.service is not None:
        document["startedBy"] = f"ecs-svc/{task.revision:019}"
    moments = {
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "stoppedAt": task.stopped_at,
    }
    document |= {key: _moment(at) for key, at in moments.items() if at is not None}
    if task.stop_code is not None:
        document |= {"stopCode": task.stop_code, "stoppedReason": task.stopped_reason}
    return document


def metadata(world: EcsWorld, task: EcsTask) -> dict[str, Any]:
    """What the endpoint answers at `/task`: as AWS documents it for Fargate and for EC2."""
    document: dict[str, Any] = {
        "Cluster": world.cluster_arn if task.launch_type == "FARGATE" else task.cluster,
        "TaskARN": task.arn,
        "Family": task.family,
        "Revision": str(task.revision),
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "Limits": {"CPU": 0.25, "Memory": 512},
        "PullStartedAt": _text(task.created_at),
        "PullStoppedAt": _text(task.created_at),
        "AvailabilityZone": task.zone,
        "LaunchType": task.launch_type,
        "Containers": [container_metadata(world, task)],
        "FaultInjectionEnabled": False,
    }
    if task.service is not None:
        document["ServiceName"] = task.service
    if task.launch_type == "FARGATE":
        document["ClockDrift"] = {
            "ClockErrorBound": _CLOCK_ERROR_BOUND_MS,
            "ReferenceTimestamp": _text(world.now),
            "ClockSynchronizationStatus": "SYNCHRONIZED",
        }
        document["EphemeralStorageMetrics"] = {"Utilized": 208, "Reserved": 20496}
    else:
        document["VPCID"] = "vpc-1234567890abcdef0"
    return document


def container_metadata(world: EcsWorld, task: EcsTask) -> dict[str, Any]:
    """What the endpoint answers at its root: the container that asks."""
    return {
        "DockerId": f"{task.id}-0265927825",
        "Name": "connector",
        "DockerName": "connector",
        "Image": "example.test/connector:1",
        "ImageID": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "Labels": {
            "com.amazonaws.ecs.cluster": world.cluster_arn,
            "com.amazonaws.ecs.container-name": "connector",
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": task.family,
            "com.amazonaws.ecs.task-definition-version": str(task.revision),
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 2},
        "CreatedAt": _text(task.created_at),
        "StartedAt": _text(task.created_at),
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "ContainerARN": _container_arn(world, task),
        "Networks": [_network(task)],
        "Snapshotter": "overlayfs",
    }


def _network(task: EcsTask) -> dict[str, Any]:
    network: dict[str, Any] = {"NetworkMode": task.network_mode}
    if task.network_mode == "host":
        # The host's addresses are not the task's; the agent leaves them out.
        return network | {"IPv4Addresses": [""]}
    if task.address is not None:
        network["IPv4Addresses"] = [task.address]
    if task.network_mode == "awsvpc":
        if task.ipv6_address is not None:
            network["IPv6Addresses"] = [task.ipv6_address]
        network |= {"AttachmentIndex": 0, "MACAddress": "0a:de:f6:10:51:e5"}
    return network


def _attachments(task: EcsTask, attachment: uuid.UUID) -> list[dict[str, Any]]:
    if task.network_mode != "awsvpc":
        return []
    details = [{"name": "subnetId", "value": "subnet-1234567890abcdef0"}]
    if task.address is not None or task.ipv6_address is not None:
        details += [
            {"name": "networkInterfaceId", "value": f"eni-{attachment.hex[:17]}"},
            {"name": "macAddress", "value": "0a:de:f6:10:51:e5"},
        ]
    if task.address is not None:
        details.append({"name": "privateIPv4Address", "value": task.address})
    # The IPv6 address is not among them: the containers' network interfaces have it.
    status = {"PROVISIONING": "PRECREATED", "STOPPED": "DELETED"}.get(task.last_status, "ATTACHED")
    return [
        {
            "id": str(attachment),
            "type": "ElasticNetworkInterface",
            "status": status,
            "details": details,
        }
    ]


def _container(world: EcsWorld, task: EcsTask, attachment: uuid.UUID) -> dict[str, Any]:
    interfaces = []
    if task.network_mode == "awsvpc" and (task.address or task.ipv6_address):
        interface = {"attachmentId": str(attachment)}
        if task.address is not None:
            interface["privateIpv4Address"] = task.address
        if task.ipv6_address is not None:
            interface["ipv6Address"] = task.ipv6_address
        interfaces.append(interface)
    return {
        "containerArn": _container_arn(world, task),
        "cpu": "0",
        "healthStatus": task.health,
        "image": "example.test/connector:1",
        "lastStatus": task.last_status,
        "name": "connector",
        "networkBindings": [],
        "networkInterfaces": interfaces,
        "taskArn": task.arn,
    }


def _task_definition(world: EcsWorld, task: EcsTask) -> str:
    return world.arn("task-definition", f"{task.family}:{task.revision}")


def _container_arn(world: EcsWorld, task: EcsTask) -> str:
    return world.arn("container", task.cluster, task.id, str(_derived_id(task, "container")))


def _derived_id(task: EcsTask, what: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{task.arn} {what}")


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(round(seconds, 3), datetime.UTC)


def _text(seconds: float) -> str:
    return _moment(seconds).isoformat().replace("+00:00", "Z")
