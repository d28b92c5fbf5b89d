"""When ECS refuses, is slow or is away: never an empty view, always a clear reason."""

import asyncio
import json
import re
import threading
from contextlib import aclosing

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_ecs.refusals import explain, policy_statement
from formal_cluster_discovery_ecs.target import Target

SERVICE = "connector"
TARGET = Target("eu-central-1", "connectors", None, "connector", "connector")


@pytest.mark.usefixtures("patient_sdk")
async def test_throttling_is_waited_out(ecs, create, me):
    ecs.throttle(times=1)

    view = await create(me).discover()

    assert view.complete
    assert 4 == len(ecs.calls)


async def test_throttling_that_lasts_is_no_empty_view(ecs, create, me):
    ecs.throttle()

    with pytest.raises(DiscoveryUnavailable):
        await create(me, timeout=1.0).discover()


@pytest.mark.parametrize("action", ["ListTasks", "DescribeTasks"])
async def test_a_missing_permission_is_named_with_the_statement_to_add(
    world, ecs, create, me, action
):
    ecs.deny(action)

    with pytest.raises(DiscoveryUnavailable) as refused:
        await create(me).discover()

    message = str(refused.value)
    assert f"may not call ecs:{action} on arn:aws:ecs:eu-central-1:123456789012:" in message
    statement = json.loads(re.search(r"\{.*?\}\}\}", message)[0])
    assert {
        "Effect": "Allow",
        "Action": ["ecs:ListTasks", "ecs:DescribeTasks"],
        "Resource": "*",
        "Condition": {"ArnEquals": {"ecs:cluster": world.cluster_arn}},
    } == statement


async def test_a_permission_may_be_added_while_the_task_runs(ecs, create, me):
    driver = create(me)
    ecs.deny("ListTasks")
    with pytest.raises(DiscoveryUnavailable):
        await driver.discover()

    ecs.heal()

    assert (await driver.discover()).complete


async def test_a_task_without_a_role_is_told_to_have_one(create, me, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(DiscoveryUnavailable, match=r"no AWS credentials .*taskRoleArn"):
        await create(me).discover()


async def test_a_client_that_cannot_be_made_is_an_outage_with_a_reason(create, me, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", "nonsense")

    with pytest.raises(DiscoveryUnavailable, match=r"no ECS client can be made: .*nonsense"):
        await create(me, endpoint_url=None).discover()


async def test_an_error_between_the_calls_gives_no_view(ecs, world, create, me):
    driver = create(me)
    first = await driver.discover()
    world.run("127.0.0.2", service=SERVICE)
    ecs.refuse("ClientException", "no", action="DescribeTasks")

    with pytest.raises(DiscoveryUnavailable):
        await driver.discover()
    ecs.heal()

    assert len(first.instances) + 1 == len((await driver.discover()).instances)


async def test_an_ecs_that_does_not_answer_is_given_up_in_time(ecs, create, me):
    ecs.hang()

    with pytest.raises(DiscoveryUnavailable, match=r"did not answer within 0.2 s"):
        await create(me, timeout=0.2).discover()


async def test_an_error_tells_how_old_the_last_good_view_is(ecs, create, me):
    driver = create(me)
    ecs.refuse("ClientException", "no")
    with pytest.raises(DiscoveryUnavailable, match="There is no earlier view"):
        await driver.discover()
    assert driver.age_s is None

    ecs.heal()
    await driver.discover()
    ecs.refuse("ClientException", "no")

    with pytest.raises(
        DiscoveryUnavailable, match=r"last good view is \d+ s old and has 1 instances"
    ):
        await driver.discover()
    assert 0 <= driver.age_s < 60


async def test_a_watch_outlives_an_outage_and_yields_nothing_meanwhile(ecs, world, create, me):
    async with asyncio.timeout(50), aclosing(create(me).watch()) as views:
        await anext(views)
        ecs.refuse("ClientException", "no", times=2)
        world.run("127.0.0.2", service=SERVICE)

        assert 2 == len((await anext(views)).instances)


async def test_a_look_that_is_cancelled_teaches_nothing_and_harms_nothing(ecs, create, me):
    driver = create(me)
    ecs.hang(times=2)
    look = asyncio.create_task(driver.discover())
    await ecs.received(2)

    look.cancel()

    with pytest.raises(asyncio.CancelledError):
        await look
    assert driver.age_s is None
    assert (await driver.discover()).complete


async def test_closing_ends_all_threads_while_ecs_is_being_retried(ecs, create, me):
    driver = create(me)
    ecs.throttle()
    look = asyncio.create_task(driver.discover())
    await ecs.received(2)
    look.cancel()
    await asyncio.wait([look])

    await driver.aclose()

    assert [] == [t.name for t in threading.enumerate() if "formal-cluster-ecs" in t.name]
    assert len(ecs.calls) <= 4, "no further attempt is made for a driver that is closed"


async def test_a_service_that_does_not_exist_is_named(create, me):
    with pytest.raises(DiscoveryUnavailable, match=r"no service gone in it; correct or remove"):
        await create(me, service="gone").discover()


# ── the words ────────────────────────────────────────────────────────────────────────────────


def refused(code, message="", attempts=0):
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RetryAttempts": attempts},
    }
    return str(explain(ClientError(answer, "ListTasks"), "ListTasks", TARGET))


def test_a_refusal_says_where_it_happened():
    assert refused("ClientException").startswith(
        "ECS ListTasks in cluster connectors, region eu-central-1: "
    )


def test_throttling_is_explained_with_what_to_change():
    assert "throttled in all of 3 attempts" in refused("ThrottlingException", attempts=2)
    assert "raise discovery.ecs.interval" in refused("ThrottlingException")


def test_a_denial_that_names_no_resource_is_still_explained():
    assert "may not call ecs:ListTasks on *" in refused("AccessDeniedException", "denied")


def test_what_aws_says_is_not_kept_back():
    assert "with an explicit deny" in refused("AccessDeniedException", "with an explicit deny")
    assert "Strange: indeed" in refused("Strange", "indeed")


def test_an_endpoint_that_cannot_be_reached_is_named():
    error = EndpointConnectionError(endpoint_url="https://ecs.eu-central-1.amazonaws.com")
    assert "https://ecs.eu-central-1.amazonaws.com" in str(explain(error, "ListTasks", TARGET))


def test_a_cluster_known_by_name_only_gets_a_statement_without_a_condition():
    assert {"Effect", "Action", "Resource"} == json.loads(policy_statement(None)).keys()
