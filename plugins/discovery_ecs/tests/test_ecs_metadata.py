"""Who this task is: the task metadata endpoint and its documents."""

import socket

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState
from formal_cluster_conformance.ecs import documents
from formal_cluster_discovery_ecs.metadata import parse, preferred
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint

SERVICE = "connector"


def read(world, task, **overrides):
    return parse(documents.metadata(world, task) | overrides)


# ── the document ─────────────────────────────────────────────────────────────────────────────


def test_a_fargate_task_knows_itself(world):
    task = world.run("10.0.1.7", service=SERVICE, revision=42)

    me = read(world, task)

    expected = Instance(
        task.arn,
        "10.0.1.7",
        InstanceState.RUNNING,
        zone="eu-central-1a",
        generation="connector:42",
    )
    assert expected == me.instance
    assert ("connector", "eu-central-1") == (me.service, me.region)
    assert (world.cluster_arn, world.cluster_arn) == (me.cluster, me.cluster_arn)


def test_an_ec2_task_names_its_cluster_briefly_and_still_knows_the_arn(world):
    me = read(world, world.run("10.0.1.7", launch_type="EC2"))

    assert (world.cluster, world.cluster_arn) == (me.cluster, me.cluster_arn)


def test_a_task_of_no_service_has_no_service(world):
    assert read(world, world.run("10.0.1.7")).service is None


def test_ipv4_is_preferred_and_ipv6_alone_will_do(world):
    assert "10.0.1.7" == read(world, world.run("10.0.1.7", ipv6_address="2001:db8::7")).address
    assert "2001:db8::7" == read(world, world.run(ipv6_address="2001:0db8:0::7")).address


def test_ipv4_is_preferred_wherever_it_stands():
    assert "10.0.1.7" == preferred(["2001:db8::7", "10.0.1.7", "10.0.1.8"])


def test_link_local_and_broken_addresses_are_not_used():
    assert "2001:db8::7" == preferred(["", "nonsense", "169.254.1.2", "fe80::1", "2001:db8::7"])
    assert preferred(["169.254.1.2", ""]) is None


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_other_network_modes_than_awsvpc_are_refused_with_the_reason(world, mode):
    task = world.run("172.17.0.3", launch_type="EC2", network_mode=mode)

    with pytest.raises(DiscoveryError, match=rf"network mode is {mode} .*needs awsvpc.*2379") as e:
        read(world, task)

    assert not isinstance(e.value, DiscoveryUnavailable)


@pytest.mark.parametrize("key", ["Cluster", "TaskARN", "Family", "Revision"])
def test_a_document_without_an_identity_is_not_ready(world, key):
    with pytest.raises(DiscoveryUnavailable, match=key):
        read(world, world.run("10.0.1.7"), **{key: ""})


def test_a_document_without_an_address_is_not_ready(world):
    with pytest.raises(DiscoveryUnavailable, match="address"):
        read(world, world.run("10.0.1.7"), Containers=[])


def test_the_clock_error_bound_is_that_of_a_synchronized_clock_only(world):
    task = world.run("10.0.1.7")

    assert pytest.approx(0.3148955) == read(world, task).clock_error_bound_ms
    for drift in (None, {}, {"ClockErrorBound": 9.0, "ClockSynchronizationStatus": "NOT_SYNCED"}):
        assert read(world, task, ClockDrift=drift).clock_error_bound_ms is None


# ── the endpoint ─────────────────────────────────────────────────────────────────────────────


async def test_outside_ecs_there_is_one_clear_error():
    with pytest.raises(DiscoveryError, match="ECS_CONTAINER_METADATA_URI_V4 is not set") as error:
        await MetadataEndpoint(None).read()

    assert not isinstance(error.value, DiscoveryUnavailable)


async def test_an_endpoint_that_fails_at_first_is_asked_again(world, metadata):
    task = world.run("10.0.1.7")
    metadata.fail(2)

    me = await MetadataEndpoint(metadata.uri(task)).read()

    assert task.arn == me.arn
    assert 3 == metadata.reads


async def test_an_endpoint_that_does_not_answer_is_named(unused_tcp_port_url):
    with pytest.raises(DiscoveryUnavailable, match=unused_tcp_port_url):
        await MetadataEndpoint(unused_tcp_port_url, patience_s=0.1).read()


async def test_an_answer_that_is_no_document_is_no_answer(metadata, world):
    task = world.run("10.0.1.7")
    task_id_of_nobody = metadata.uri(task) + "0"

    with pytest.raises(DiscoveryUnavailable, match="404"):
        await MetadataEndpoint(task_id_of_nobody, patience_s=0.0).read()


async def test_the_endpoint_is_never_asked_through_a_proxy(
    world, metadata, monkeypatch, unused_tcp_port_url
):
    monkeypatch.setenv("http_proxy", unused_tcp_port_url)
    task = world.run("10.0.1.7")

    me = await MetadataEndpoint(metadata.uri(task), patience_s=0.0).read()

    assert task.arn == me.arn


@pytest.fixture
def unused_tcp_port_url():
    """Where connections are refused: bound, and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
