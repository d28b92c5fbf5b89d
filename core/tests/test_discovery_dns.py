"""The `dns` driver against a real DNS server on a loopback port (UDP and TCP)."""

import asyncio
import logging
from contextlib import aclosing

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from dns.rdatatype import RdataType
from pydantic import ValidationError

from formal_cluster.discovery import dns as driver
from formal_cluster.discovery.dns_lookup import open_resolver
from formal_cluster.discovery.dns_settings import parse_resolver
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.model import Instance, InstanceState, View

NAME = "connector.internal."
OTHER = "edge.internal."
SERVICE = "_peer._tcp.connector.internal."
SILENCE = "silence"


class DnsServer(asyncio.DatagramProtocol):
    """Answers from `records`; a name may also be mapped to a response code or to SILENCE."""

    def __init__(self):
        self.records: dict[tuple[str, str], list[str]] = {}
        self.behaviour: dict[str, dns.rcode.Rcode | str] = {}
        self.ttl = 60
        self.asked_over_tcp = 0
        self._udp_closed = asyncio.Event()

    async def start(self):
        for _ in range(20):
            self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
            self.port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: self, local_addr=("127.0.0.1", self.port)
                )
            except OSError:  # somebody has that port for UDP
                self._tcp.close()
                await self._tcp.wait_closed()
            else:
                return
        raise AssertionError("found no port that is free for both TCP and UDP")

    async def stop(self):
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()
        await self._udp_closed.wait()

    def connection_lost(self, exc):
        self._udp_closed.set()

    def datagram_received(self, data, addr):
        response = self._response(data)
        if response is not None:
            self._udp.sendto(self._fitting_a_datagram(response), addr)

    async def _serve_tcp(self, reader, writer):
        self.asked_over_tcp += 1
        size = int.from_bytes(await reader.readexactly(2), "big")
        response = self._response(await reader.readexactly(size))
        if response is not None:
            wire = response.to_wire(max_size=65_535)
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    @staticmethod
    def _fitting_a_datagram(response):
        try:
            return response.to_wire(max_size=512)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _response(self, data):
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        name = query.question[0].name.to_text()
        behaviour = self.behaviour.get(name)
        if behaviour is SILENCE:
            return None
        if isinstance(behaviour, dns.rcode.Rcode):
            response.set_rcode(behaviour)
            return response
        for alias in self.records.get((name, "CNAME"), []):
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", alias))
            name = alias
        kind = RdataType.to_text(query.question[0].rdtype)
        found = self.records.get((name, kind), [])
        if found:
            response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *found))
        elif all(known != name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


@pytest.fixture
async def server():
    server = DnsServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def create(server):
    def create(*, instance_id=None, **table):
        table = {
            "names": [NAME],
            "resolvers": [f"127.0.0.1:{server.port}"],
            "timeout": 20.0,
            "interval": 0.02,
            **table,
        }
        settings = driver.discovery_settings().model_validate(table)
        context = DiscoveryContext(instance_id, logging.getLogger("test.dns"))
        return driver.create_discovery(settings, context)

    return create


def ids(view):
    return [instance.id for instance in view.instances]


async def test_every_address_of_a_name_is_an_instance_of_unknown_state(server, create):
    server.records[NAME, "A"] = ["198.51.100.2", "198.51.100.1"]

    view = await create().discover()

    expected = View(
        (Instance("198.51.100.1", "198.51.100.1"), Instance("198.51.100.2", "198.51.100.2")),
        complete=False,
    )
    assert expected == view


async def test_ipv6_addresses_are_instances_too(server, create):
    server.records[NAME, "A"] = ["198.51.100.1"]
    server.records[NAME, "AAAA"] = ["2001:db8:0:0::2"]

    expected = ["198.51.100.1", "2001:db8::2"]
    assert expected == ids(await create().discover())


async def test_a_name_with_ipv6_addresses_alone_is_enough(server, create):
    server.records[NAME, "AAAA"] = ["2001:db8::2"]

    expected = ["2001:db8::2"]
    assert expected == ids(await create().discover())


async def test_an_alias_is_followed(server, create):
    server.records[NAME, "CNAME"] = [OTHER]
    server.records[OTHER, "A"] = ["198.51.100.1"]

    expected = ["198.51.100.1"]
    assert expected == ids(await create().discover())


async def test_an_answer_too_long_for_a_datagram_is_fetched_over_tcp(server, create):
    server.records[NAME, "A"] = [f"198.51.100.{n}" for n in range(1, 101)]

    view = await create().discover()

    assert len(server.records[NAME, "A"]) == len(view.instances)
    assert server.asked_over_tcp > 0


async def test_addresses_of_several_names_are_joined(server, create):
    server.records[NAME, "A"] = ["198.51.100.1", "198.51.100.2"]
    server.records[OTHER, "A"] = ["198.51.100.2", "198.51.100.3"]

    expected = ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
    assert expected == ids(await create(names=[NAME, OTHER]).discover())


async def test_a_name_that_does_not_exist_is_unknown_and_not_empty(create):
    with pytest.raises(DiscoveryUnavailable, match=r"connector\.internal\.: .*does not exist"):
        await create().discover()


async def test_a_name_without_addresses_is_unknown_and_not_empty(server, create):
    server.records[NAME, "TXT"] = ['"no addresses here"']

    with pytest.raises(DiscoveryUnavailable, match="does not contain an answer"):
        await create().discover()


async def test_a_failing_server_is_unknown_and_not_empty(server, create):
    server.behaviour[NAME] = dns.rcode.SERVFAIL

    with pytest.raises(DiscoveryUnavailable, match="SERVFAIL"):
        await create().discover()


async def test_a_silent_server_is_unknown_once_the_timeout_is_over(server, create):
    server.behaviour[NAME] = SILENCE
    loop = asyncio.get_running_loop()
    started = loop.time()

    with pytest.raises(DiscoveryUnavailable, match="expired"):
        await create(timeout=0.1).discover()

    assert loop.time() - started < 5


async def test_one_of_two_names_failing_leaves_what_the_other_says(server, create, caplog):
    server.records[NAME, "A"] = ["198.51.100.1"]
    server.behaviour[OTHER] = dns.rcode.SERVFAIL
    discovery = create(names=[NAME, OTHER])

    for _ in range(3):
        view = await discovery.discover()

    expected = ["198.51.100.1"]
    assert expected == ids(view)
    assert not view.complete
    logged_once = [OTHER]
    assert logged_once == [record.source for record in caplog.records]


async def test_when_all_names_fail_each_is_named_with_its_reason(server, create):
    server.behaviour[OTHER] = dns.rcode.REFUSED

    with pytest.raises(DiscoveryUnavailable, match=r"(?s)connector.*not exist.*edge.*REFUSED"):
        await create(names=[NAME, OTHER]).discover()


async def test_the_instance_at_an_address_of_this_machine_is_this_one(server, create):
    server.records[NAME, "A"] = ["198.51.100.1", "127.0.0.1"]
    discovery = create()

    me = await discovery.identify()
    view = await discovery.discover()

    expected = Instance("127.0.0.1", "127.0.0.1", InstanceState.RUNNING)
    assert expected == me
    assert (expected, Instance("198.51.100.1", "198.51.100.1")) == view.instances


async def test_an_instance_that_knows_itself_is_in_the_view_though_dns_drops_it(server, create):
    server.records[NAME, "A"] = ["198.51.100.1", "127.0.0.1"]
    discovery = create()
    await discovery.identify()

    server.records[NAME, "A"] = ["198.51.100.1"]

    expected = ["127.0.0.1", "198.51.100.1"]
    assert expected == ids(await discovery.discover())


async def test_self_address_needs_no_dns_and_is_always_in_the_view(server, create):
    discovery = create(self_address="198.51.100.9")

    assert await discovery.identify() == Instance(
        "198.51.100.9", "198.51.100.9", InstanceState.RUNNING
    )
    server.records[NAME, "A"] = ["198.51.100.1"]
    expected = ["198.51.100.1", "198.51.100.9"]
    assert expected == ids(await discovery.discover())


async def test_several_addresses_of_this_machine_are_an_error_with_the_mend(server, create):
    server.records[NAME, "A"] = ["127.0.0.1", "127.0.0.2"]

    with pytest.raises(DiscoveryError, match=r"127\.0\.0\.1, 127\.0\.0\.2.*self_address"):
        await create().identify()


async def test_while_several_could_be_this_instance_none_is_marked_as_running(server, create):
    server.records[NAME, "A"] = ["127.0.0.1", "127.0.0.2"]

    view = await create().discover()

    assert {InstanceState.UNKNOWN} == {instance.state for instance in view.instances}


async def test_an_address_listed_under_two_names_is_one_instance(server, create):
    server.records[NAME, "A"] = ["127.0.0.1"]
    server.records[OTHER, "A"] = ["127.0.0.1"]

    expected = "127.0.0.1"
    assert expected == (await create(names=[NAME, OTHER]).identify()).id


async def test_a_machine_that_dns_does_not_list_may_be_listed_later(server, create):
    server.records[NAME, "A"] = ["198.51.100.1"]

    with pytest.raises(DiscoveryUnavailable, match=r"198\.51\.100\.1; wait until"):
        await create().identify()


async def test_identify_fails_as_unavailable_while_dns_does(create):
    with pytest.raises(DiscoveryUnavailable, match="does not exist"):
        await create().identify()


async def test_an_instance_id_tells_which_of_several_local_addresses_is_meant(server, create):
    server.records[NAME, "A"] = ["127.0.0.1", "127.0.0.2"]

    expected = "127.0.0.2"
    assert expected == (await create(instance_id="127.0.0.2").identify()).id


async def test_an_instance_id_that_dns_does_not_know_is_refused(server, create):
    server.records[NAME, "A"] = ["127.0.0.1"]

    with pytest.raises(DiscoveryError, match=r"'blue', but .* '127\.0\.0\.1'; remove"):
        await create(instance_id="blue").identify()


async def test_srv_records_give_targets_and_peer_ports(server, create):
    server.records[SERVICE, "SRV"] = ["0 0 2380 b.internal.", "0 0 2390 a.internal."]

    view = await create(names=[SERVICE], record="srv").discover()

    expected = (
        Instance("a.internal:2390", "a.internal", peer_port=2390),
        Instance("b.internal:2380", "b.internal", peer_port=2380),
    )
    assert expected == view.instances


async def test_an_srv_target_that_resolves_to_this_machine_is_this_instance(server, create):
    server.records[SERVICE, "SRV"] = [
        "0 0 2380 a.internal.",
        "0 0 2380 b.internal.",
        "0 0 2380 gone.internal.",
    ]
    server.records["a.internal.", "A"] = ["198.51.100.1"]
    server.records["b.internal.", "A"] = ["127.0.0.1"]

    me = await create(names=[SERVICE], record="srv").identify()

    expected = Instance("b.internal:2380", "b.internal", InstanceState.RUNNING, peer_port=2380)
    assert expected == me


async def test_self_address_tells_srv_instances_on_one_machine_apart(server, create):
    server.records[SERVICE, "SRV"] = ["0 0 2380 a.internal.", "0 0 3380 a.internal."]
    discovery = create(names=[SERVICE], record="srv", self_address="a.internal.:3380")

    await discovery.identify()
    view = await discovery.discover()

    expected = {"a.internal:2380": InstanceState.UNKNOWN, "a.internal:3380": InstanceState.RUNNING}
    assert expected == {instance.id: instance.state for instance in view.instances}


async def test_a_service_that_dns_declares_not_offered_is_unknown(server, create):
    server.records[SERVICE, "SRV"] = ["0 0 0 ."]

    with pytest.raises(DiscoveryUnavailable, match="no such service"):
        await create(names=[SERVICE], record="srv").discover()


async def test_watch_sees_a_change_and_holds_its_view_while_dns_fails(server, create):
    server.records[NAME, "A"] = ["198.51.100.1"]
    async with aclosing(create().watch()) as views, asyncio.timeout(50):
        expected = ["198.51.100.1"]
        assert expected == ids(await anext(views))

        following = asyncio.ensure_future(anext(views))
        server.behaviour[NAME] = dns.rcode.SERVFAIL
        finished, _ = await asyncio.wait([following], timeout=0.1)
        assert set() == finished

        server.records[NAME, "A"] = ["198.51.100.1", "198.51.100.2"]
        del server.behaviour[NAME]
        expected = ["198.51.100.1", "198.51.100.2"]
        assert expected == ids(await following)


@pytest.mark.slow
async def test_records_that_expire_before_the_interval_are_looked_up_again_then(server, create):
    server.ttl = 1
    server.records[NAME, "A"] = ["198.51.100.1"]
    async with aclosing(create(interval=3_600.0).watch()) as views, asyncio.timeout(50):
        await anext(views)
        server.records[NAME, "A"] = ["198.51.100.2"]

        expected = ["198.51.100.2"]
        assert expected == ids(await anext(views))


def test_without_resolvers_given_the_systems_are_asked():
    try:
        system = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        pytest.skip("this machine is configured without a DNS resolver")

    assert system.nameservers == open_resolver([], timeout=1.0).nameservers


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"names": []}, "names"),
        ({"names": ["a..b"]}, "'a..b' is not a DNS name"),
        ({"names": ["x" * 64]}, "is not a DNS name"),
        ({"record": "mx"}, "record"),
        ({"resolvers": ["dns.example"]}, "'dns.example' does not appear to be an IP"),
        ({"resolvers": ["198.51.100.1:dns"]}, "'dns' .* is not a port"),
        ({"resolvers": ["198.51.100.1:70000"]}, "'70000' .* is not a port"),
        ({"resolvers": [":53"]}, "names no host"),
        ({"self_address": "connector-1"}, "'connector-1' does not appear to be an IP"),
        ({"record": "srv", "self_address": "a.internal"}, 'must be "target:port"'),
        ({"timeout": 0}, "timeout"),
        ({"interval": 0}, "interval"),
        ({"name": "connector"}, "name"),
    ],
)
def test_wrong_settings_are_refused(table, complaint):
    with pytest.raises(ValidationError, match=complaint):
        driver.discovery_settings().model_validate({"names": [NAME], **table})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("198.51.100.1", ("198.51.100.1", 53)),
        ("198.51.100.1:5353", ("198.51.100.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_resolver_is_an_address_with_or_without_a_port(text, expected):
    assert expected == parse_resolver(text)
