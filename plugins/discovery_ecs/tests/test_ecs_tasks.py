"""What a task of ECS means for an instance."""

import pytest

from formal_cluster.model import InstanceState
from formal_cluster_conformance.ecs.documents import description
from formal_cluster_discovery_ecs import tasks


@pytest.mark.parametrize(
    ("last_status", "expected"),
    [
        ("PROVISIONING", InstanceState.STARTING),
        ("PENDING", InstanceState.STARTING),
        ("ACTIVATING", InstanceState.STARTING),
        ("RUNNING", InstanceState.RUNNING),
        ("DEACTIVATING", InstanceState.RUNNING),
        ("STOPPING", InstanceState.RUNNING),
        ("DEPROVISIONING", InstanceState.UNKNOWN),
        ("STOPPED", InstanceState.STOPPED),
        ("DELETED", InstanceState.UNKNOWN),
        ("A_STATE_OF_THE_FUTURE", InstanceState.UNKNOWN),
    ],
)
def test_the_last_status_decides(world, last_status, expected):
    task = world.run("10.0.1.7")
    world.move(task, last_status)

    assert expected is tasks.parse(description(world, task)).state


@pytest.mark.parametrize("last_status", ["RUNNING", "STOPPED"])
@pytest.mark.parametrize("desired_status", ["RUNNING", "STOPPED"])
def test_the_desired_status_proves_nothing(world, last_status, desired_status):
    task = world.run("10.0.1.7")
    task.desired_status = desired_status
    world.move(task, last_status)

    assert InstanceState(last_status.lower()) is tasks.parse(description(world, task)).state


def test_a_task_whose_host_is_out_of_touch_is_unknown(world):
    task = world.run("10.0.1.7", launch_type="EC2")
    world.disconnect(task)

    assert InstanceState.UNKNOWN is tasks.parse(description(world, task)).state


def test_a_stopped_task_stays_stopped_when_its_host_is_out_of_touch(world):
    task = world.run("10.0.1.7", launch_type="EC2")
    world.disconnect(task)
    world.stop(task, "TerminationNotice", "Host EC2 (instance i-1234567890abcdef0) terminated.")

    assert InstanceState.STOPPED is tasks.parse(description(world, task)).state


def test_a_task_orphaned_by_a_forced_deregistration_may_live_on(world):
    task = world.run("10.0.1.7", launch_type="EC2")
    world.orphan(task)

    assert InstanceState.UNKNOWN is tasks.parse(description(world, task)).state


def test_a_task_without_a_network_interface_has_no_address(world):
    assert tasks.parse(description(world, world.provision())).address is None


def test_the_address_is_that_of_the_attachment(world):
    task = world.run("10.0.1.7", ipv6_address="2001:db8::7")
    document = description(world, task) | {"containers": []}

    assert "10.0.1.7" == tasks.parse(document).address


def test_the_address_is_else_that_of_the_containers_network_interfaces(world):
    task = world.run("10.0.1.7", ipv6_address="2001:db8::7")
    document = description(world, task) | {"attachments": []}

    assert "10.0.1.7" == tasks.parse(document).address


def test_a_task_with_ipv6_alone_has_that_address(world):
    assert (
        "2001:db8::7"
        == tasks.parse(description(world, world.run(ipv6_address="2001:db8:0::7"))).address
    )


def test_other_attachments_than_network_interfaces_are_no_addresses(world):
    document = description(world, world.run("10.0.1.7"))
    document["attachments"][0]["type"] = "Service Connect"
    document["containers"] = []

    assert tasks.parse(document).address is None


def test_what_ecs_says_of_a_task_is_kept(world):
    task = world.run("10.0.1.7", revision=3)
    world.judge(task, "UNHEALTHY")
    world.stop(task, "EssentialContainerExited", "Essential container in task exited")

    parsed = tasks.parse(description(world, task))

    assert pytest.approx(task.created_at, abs=0.001) == parsed.created_at
    assert ("eu-central-1a", "connector:3", task.version) == (
        parsed.zone,
        parsed.generation,
        parsed.version,
    )
    assert "UNHEALTHY" == parsed.health
    assert "EssentialContainerExited: Essential container in task exited" == parsed.stop_reason


def test_a_sparse_description_is_enough():
    expected = tasks.Task("arn:aws:ecs:eu-central-1:1:task/c/1", InstanceState.UNKNOWN)
    assert expected == tasks.parse({"taskArn": "arn:aws:ecs:eu-central-1:1:task/c/1"})
