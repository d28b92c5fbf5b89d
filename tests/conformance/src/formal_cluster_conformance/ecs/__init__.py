"""A strict ECS: what a driver that talks to ECS can be tested against, with the unmodified boto3.

    world = EcsWorld()
    me = world.run(service="connector", address="127.0.0.2")
    async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
        environ["AWS_ENDPOINT_URL_ECS"] = ecs.url
        environ["ECS_CONTAINER_METADATA_URI_V4"] = metadata.uri(me)
        ...                                   # start what is to be tested
        other = world.run(service="connector", address="127.0.0.3")
        ecs.throttle(times=3)
        world.stop(other)
        world.advance(3_700)                  # by now ECS has forgotten it

`EcsWorld` is the script: which tasks exist and what becomes of them. `EcsServer` speaks ECS's JSON
protocol and checks each request, and each of its own responses, against botocore's service model;
a client that breaks the protocol makes the `async with` fail. It records every call.
`TaskMetadataServer` is the endpoint that the container agent offers to each task.

Nothing leaves the loopback interface unless told to. Needs `formal-cluster-conformance[ecs]`.
"""

from formal_cluster_conformance.ecs.server import EcsServer
from formal_cluster_conformance.ecs.service_model import ProtocolViolation
from formal_cluster_conformance.ecs.task_metadata import TaskMetadataServer
from formal_cluster_conformance.ecs.world import EcsTask, EcsWorld

__all__ = ["EcsServer", "EcsTask", "EcsWorld", "ProtocolViolation", "TaskMetadataServer"]
