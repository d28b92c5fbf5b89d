"""The scripted ECS is as strict as the real one, and as forgetful."""

import asyncio
import json

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from formal_cluster_conformance.ecs import (
    EcsServer,
    EcsWorld,
    ProtocolViolation,
    TaskMetadataServer,
)

SERVICE = "connector"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261101/eu-central-1/ecs/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)


@pytest.fixture
def world():
    return EcsWorld()


@pytest.fixture
async def server(world):
    async with EcsServer(world) as server:
        yield server


@pytest.fixture
def call(server, world, monkeypatch):
    """Calls an action with the real SDK, unretried."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    client = boto3.session.Session().client(
        "ecs",
        region_name=world.region,
        endpoint_url=server.url,
        config=Config(retries={"total_max_attempts": 1}),
    )

    async def call(action, **parameters):
        answer = await asyncio.to_thread(
            getattr(client, action), cluster=world.cluster, **parameters
        )
        answer.pop("ResponseMetadata")
        return answer

    yield call
    client.close()


@pytest.fixture
def post(server):
    """Sends what no SDK would."""

    async def post(action, body, **headers):
        headers = {
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{action}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": SIGNED,
            **headers,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(server.url, data=json.dumps(body), headers=headers) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    return post


async def refused(call, action, **parameters):
    with pytest.raises(ClientError) as error:
        await call(action, **parameters)
    return error.value.response["Error"]["Code"]


# ── strictness ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "body", "headers"),
    [
        ("ListTasks", {"clutser": "connectors"}, {}),
        ("ListTasks", {"maxResults": "100"}, {}),
        ("ListTasks", {"desiredStatus": "RUNING"}, {}),
        ("DescribeTasks", {"cluster": "connectors"}, {}),
        ("StartTasks", {}, {}),
        ("ListTasks", {}, {"X-Amz-Target": "ListTasks"}),
        ("ListTasks", {}, {"Content-Type": "application/json"}),
    ],
)
async def test_a_request_that_is_not_ecs_protocol_fails_the_test(
    server, post, action, body, headers
):
    status, _ = await post(action, body, **headers)

    assert 400 == status
    assert 1 == len(server.take_violations())
    assert [] == server.calls


async def test_a_violation_fails_the_context(world):
    server = EcsServer(world)
    await server.__aenter__()
    nonsense = {"X-Amz-Target": "nonsense"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.url, data="{}", headers=nonsense),
    ):
        pass

    with pytest.raises(ProtocolViolation, match="nonsense"):
        await server.__aexit__(None, None, None)


async def test_an_answer_that_ecs_could_not_give_fails_the_test(server, world, call):
    world.run("127.0.0.2").launch_type = "LAMBDA"

    assert "ServerException" == await refused(call, "describe_tasks", tasks=list(world.tasks))
    [violation] = server.take_violations()
    assert "LAMBDA" in violation


async def test_an_action_beyond_this_server_is_not_answered_with_a_guess(server, call):
    assert "ServerException" == await refused(call, "list_services")
    assert ["ListServices"] == server.actions
    [violation] = server.take_violations()
    assert "not implemented" in violation


async def test_a_request_for_another_region_is_refused(post):
    status, answer = await post(
        "ListTasks", {}, Authorization=SIGNED.replace("eu-central-1", "us-east-1")
    )

    assert (400, "InvalidSignatureException") == (status, answer["__type"])


async def test_an_unsigned_request_is_refused(post):
    status, answer = await post("ListTasks", {}, Authorization="")

    assert (400, "MissingAuthenticationTokenException") == (status, answer["__type"])


# ── what ECS answers ─────────────────────────────────────────────────────────────────────────


async def test_pages_hold_a_hundred_and_lead_to_each_other(world, call):
    for _ in range(250):
        world.run("127.0.0.2", service=SERVICE)

    sizes, arns, more = [], set(), {}
    while True:
        page = await call("list_tasks", serviceName=SERVICE, **more)
        sizes.append(len(page["taskArns"]))
        arns.update(page["taskArns"])
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}

    assert [100, 100, 50] == sizes
    assert set(world.tasks) == arns


async def test_a_token_belongs_to_its_query(world, call):
    for _ in range(101):
        world.run("127.0.0.2", service=SERVICE)
    token = (await call("list_tasks", serviceName=SERVICE))["nextToken"]

    assert "InvalidParameterException" == await refused(
        call, "list_tasks", family="connector", nextToken=token
    )


async def test_lists_are_filtered_by_service_family_and_desired_status(world, call):
    mine = world.run("127.0.0.2", service=SERVICE)
    stopping = world.run("127.0.0.3", service=SERVICE, family="other")
    world.begin_stop(stopping)
    alone = world.run("127.0.0.4")

    async def listed(**filters):
        return set((await call("list_tasks", **filters))["taskArns"])

    assert {mine.arn, alone.arn} == await listed()
    assert {mine.arn} == await listed(serviceName=SERVICE)
    assert {mine.arn, alone.arn} == await listed(family="connector")
    assert {stopping.arn} == await listed(serviceName=SERVICE, desiredStatus="STOPPED")


async def test_unknown_clusters_and_services_are_refused(world, server, call):
    assert "ServiceNotFoundException" == await refused(call, "list_tasks", serviceName="nothing")
    world.cluster = "elsewhere"
    server.world = EcsWorld()
    assert "ClusterNotFoundException" == await refused(call, "list_tasks")


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_one_to_a_hundred_tasks(call, world, count):
    arns = [world.arn("task", world.cluster, f"{number:032x}") for number in range(count)]

    assert "InvalidParameterException" == await refused(call, "describe_tasks", tasks=arns)


async def test_a_task_is_described_with_its_life(world, call):
    task = world.run("127.0.0.2", ipv6_address="2001:db8::2", service=SERVICE)
    world.stop(task)

    [described] = (await call("describe_tasks", tasks=[task.arn]))["tasks"]

    assert ("STOPPED", "STOPPED") == (described["lastStatus"], described["desiredStatus"])
    assert described["createdAt"] <= described["startedAt"] <= described["stoppedAt"]
    [interface] = described["containers"][0]["networkInterfaces"]
    assert ("127.0.0.2", "2001:db8::2") == (
        interface["privateIpv4Address"],
        interface["ipv6Address"],
    )


async def test_a_stopped_task_is_visible_for_an_hour_and_then_missing(world, call):
    task = world.run("127.0.0.2", service=SERVICE)
    world.stop(task)
    world.advance(3_590)
    assert [task.arn] == (await call("list_tasks", desiredStatus="STOPPED"))["taskArns"]

    world.advance(20)

    assert [] == (await call("list_tasks", desiredStatus="STOPPED"))["taskArns"]
    answer = await call("describe_tasks", tasks=[task.arn])
    assert [{"arn": task.arn, "reason": "MISSING"}] == answer["failures"]


# ── misbehaviour ─────────────────────────────────────────────────────────────────────────────


async def test_throttling_lasts_as_long_as_scripted(server, call):
    server.throttle(action="ListTasks", times=1)

    assert "ThrottlingException" == await refused(call, "list_tasks")
    assert {"taskArns": []} == await call("list_tasks")
    assert ["ListTasks"] * 2 == server.actions


async def test_a_stale_copy_answers_from_the_past(world, server, call):
    before = world.snapshot()
    task = world.run("127.0.0.2")

    server.serve_stale(before)
    assert [] == (await call("list_tasks"))["taskArns"]
    server.heal()
    assert [task.arn] == (await call("list_tasks"))["taskArns"]


async def test_a_hanging_request_is_let_go_when_healed(server, call):
    server.hang()
    calling = asyncio.create_task(call("list_tasks"))
    await server.received(1)

    server.heal()

    with pytest.raises(ClientError, match="Service Unavailable"):
        await calling


# ── task metadata ────────────────────────────────────────────────────────────────────────────


async def test_each_task_has_metadata_of_its_own(world):
    first, second = world.run("127.0.0.2", service=SERVICE), world.run("127.0.0.3")

    async with TaskMetadataServer(world) as metadata, aiohttp.ClientSession() as session:
        documents = []
        for task in (first, second):
            async with session.get(f"{metadata.uri(task)}/task") as answer:
                documents.append(await answer.json())

    assert [first.arn, second.arn] == [document["TaskARN"] for document in documents]
    assert [SERVICE, None] == [document.get("ServiceName") for document in documents]
    assert ["127.0.0.2"] == documents[0]["Containers"][0]["Networks"][0]["IPv4Addresses"]
