import asyncio
import logging
from contextlib import aclosing

import pytest
from pydantic import ValidationError

from formal_cluster.discovery import static
from formal_cluster.errors import DiscoveryError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery

HERE = {"id": "a", "address": "127.0.0.1"}
THERE = {"id": "b", "address": "198.51.100.2"}
ELSEWHERE = {"id": "c", "address": "198.51.100.3"}


def create(table, *, instance_id=None) -> Discovery:
    settings = static.discovery_settings().model_validate(table)
    context = DiscoveryContext(instance_id, logging.getLogger("test"))
    return static.create_discovery(settings, context)


async def test_peers_are_unknown_and_only_this_instance_is_running():
    discovery = create({"self": "b", "instances": [THERE, HERE, ELSEWHERE]})

    view = await discovery.discover()

    expected = View(
        (
            Instance("a", "127.0.0.1"),
            Instance("b", "198.51.100.2", InstanceState.RUNNING),
            Instance("c", "198.51.100.3"),
        ),
        complete=True,
    )
    assert expected == view


async def test_ports_and_zone_are_handed_through():
    entry = {**HERE, "client_port": 3379, "peer_port": 3380, "zone": "z1"}
    discovery = create({"instances": [entry]})

    me = await discovery.identify()

    expected = Instance(
        "a", "127.0.0.1", InstanceState.RUNNING, client_port=3379, peer_port=3380, zone="z1"
    )
    assert expected == me


@pytest.mark.parametrize(
    ("table", "instance_id"),
    [
        pytest.param({"self": "b"}, None, id="self"),
        pytest.param({}, "b", id="instance.id"),
        pytest.param({"self": "b"}, "b", id="both, and they agree"),
    ],
)
async def test_a_named_instance_is_this_one_whatever_its_address(table, instance_id):
    discovery = create({"instances": [HERE, THERE], **table}, instance_id=instance_id)

    assert "b" == (await discovery.identify()).id


async def test_without_a_name_the_only_local_address_is_this_instance():
    discovery = create({"instances": [THERE, HERE]})

    assert "a" == (await discovery.identify()).id


async def test_several_local_addresses_are_an_error_that_names_them_and_the_mend():
    second = {"id": "b", "address": "127.0.0.2"}
    discovery = create({"instances": [HERE, second, ELSEWHERE]})

    with pytest.raises(DiscoveryError, match=r"a \(127.0.0.1\), b \(127.0.0.2\)") as raised:
        await discovery.identify()
    assert "Set discovery.static.self" in str(raised.value)


async def test_no_local_address_is_an_error_that_names_the_list_and_the_mend():
    discovery = create({"instances": [THERE, ELSEWHERE]})

    with pytest.raises(DiscoveryError, match=r"None has an address of this machine") as raised:
        await discovery.identify()
    assert "Set discovery.static.self" in str(raised.value)


@pytest.mark.parametrize(
    "instances",
    [
        pytest.param([THERE, ELSEWHERE], id="none is on this machine"),
        pytest.param([HERE, {"id": "b", "address": "127.0.0.2"}], id="two are on this machine"),
    ],
)
async def test_a_process_that_does_not_know_itself_marks_none_as_running(instances):
    discovery = create({"instances": instances})

    view = await discovery.discover()

    assert [InstanceState.UNKNOWN] * 2 == [instance.state for instance in view.instances]


async def test_an_instance_id_that_is_not_listed_is_an_error():
    discovery = create({"instances": [HERE, THERE]}, instance_id="z")

    with pytest.raises(DiscoveryError, match=r"instance.id 'z' is not listed"):
        await discovery.identify()


async def test_self_and_instance_id_must_not_contradict_each_other():
    discovery = create({"self": "a", "instances": [HERE, THERE]}, instance_id="b")

    with pytest.raises(DiscoveryError, match=r"static.self is 'a' but instance.id is 'b'"):
        await discovery.identify()


async def test_watch_yields_the_list_once_and_then_waits_until_it_is_cancelled():
    discovery = create({"instances": [HERE, THERE]})
    async with aclosing(discovery.watch()) as views:
        assert await discovery.discover() == await anext(views)
        second = asyncio.ensure_future(anext(views))

        finished, _ = await asyncio.wait([second], timeout=0.05)

        assert set() == finished
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    await discovery.aclose()


async def test_instances_on_one_machine_are_told_apart_by_their_ports():
    first = {**HERE, "client_port": 2379, "peer_port": 2380}
    second = {**HERE, "id": "b", "client_port": 3379, "peer_port": 3380}
    discovery = create({"self": "b", "instances": [first, second]})

    assert 3380 == (await discovery.identify()).peer_port


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"instances": []}, "instances"),
        ({"instances": [HERE, {**THERE, "id": "a"}]}, "id 'a' is listed twice"),
        ({"instances": [HERE, {**HERE, "id": "b"}]}, "'a' and 'b' have the same address"),
        (
            {
                "instances": [
                    {**THERE, "address": "2001:db8::1"},
                    {**HERE, "address": "2001:DB8:0::1"},
                ]
            },
            "'b' and 'a' have the same address",
        ),
        (
            {
                "instances": [
                    {**HERE, "client_port": 2379, "peer_port": 2380},
                    {**HERE, "id": "b", "client_port": 3379, "peer_port": 2380},
                ]
            },
            "and peer_port",
        ),
        ({"instances": [HERE], "self": "z"}, "self = 'z' is none of the listed"),
        ({"instances": [{**HERE, "address": "10.0.0.1:2380"}]}, "ports belong into client_port"),
        ({"instances": [{**HERE, "address": "http://a"}]}, "neither an IP address nor"),
        ({"instances": [{**HERE, "address": ""}]}, "neither an IP address nor"),
        ({"instances": [{**HERE, "address": "0.0.0.0"}]}, "no instance can be reached"),
        ({"instances": [{**HERE, "peer_port": 0}]}, "peer_port"),
        ({"instances": [{**HERE, "adress": "10.0.0.1"}]}, "adress"),
        ({"instances": [HERE], "interval": 3}, "interval"),
    ],
)
def test_a_wrong_list_is_refused(table, complaint):
    with pytest.raises(ValidationError, match=complaint):
        create(table)
