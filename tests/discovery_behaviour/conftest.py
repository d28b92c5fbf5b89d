"""The platforms that discovery drivers are tried on, each with its own driver.

To try another driver on the same behaviours, add its platform here: a class like `Platform`, and
its entry in PLATFORMS.
"""

import asyncio
import contextlib
import logging

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.rdatatype import RdataType

from formal_cluster.discovery import dns as dns_driver
from formal_cluster.discovery import static
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer
from formal_cluster_conformance.k8s import ApiServer
from formal_cluster_discovery_ecs.ecs import EcsDiscovery
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings
from formal_cluster_discovery_k8s import plugin as k8s_plugin
from formal_cluster_discovery_k8s.settings import K8sSettings

CONTEXT = DiscoveryContext(None, logging.getLogger("test.discovery"))


class Platform:
    """What a test may do to the platform below a driver.

    Attributes:
        can_change: Whether instances can come and go while a driver runs.
        can_fail: Whether the platform can be away.
        vouches: Whether it says who runs and who is dead. One that does not has no `stop`.
        is_complete: Whether it tells of all instances, and a view of it says so.
        looks_for_proof: How often a driver has to look until a death is proven.
    """

    can_change = True
    can_fail = True
    vouches = True
    is_complete = True
    looks_for_proof = 1

    @classmethod
    def open(cls, directory, monkeypatch):
        """An async context manager: the platform, without any instance.

        Args:
            directory: An empty one, for whatever it needs.
            monkeypatch: To set the environment that its drivers read.
        """
        raise NotImplementedError

    def create(self, instance):
        """The driver in this instance."""
        raise NotImplementedError

    async def add(self):
        """One more instance, running; its id. Works while the platform is away, too."""
        raise NotImplementedError

    async def stop(self, instance):
        """It stops, and the platform vouches for that."""
        raise NotImplementedError

    async def lose(self, instance):
        """It is gone, and the platform does not say why."""
        raise NotImplementedError

    async def fail(self):
        """The platform answers no more."""
        raise NotImplementedError

    async def heal(self):
        """It answers again."""
        raise NotImplementedError


class StaticPlatform(Platform):
    """Two listed instances, for ever."""

    can_change = can_fail = vouches = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, _directory, _monkeypatch):
        yield cls()

    def __init__(self):
        self._added = iter("ab")

    def create(self, instance):
        table = {
            "self": instance,
            "instances": [{"id": id_, "address": f"{id_}.internal"} for id_ in "ab"],
        }
        settings = static.discovery_settings().model_validate(table)
        return static.create_discovery(settings, CONTEXT)

    async def add(self):
        return next(self._added)


class DnsPlatform(Platform, asyncio.DatagramProtocol):
    """The addresses of a name. DNS knows names, and nothing of who runs."""

    vouches = is_complete = False
    name = "connector.internal."

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, _directory, _monkeypatch):
        server, platform = await asyncio.get_running_loop().create_datagram_endpoint(
            cls, local_addr=("127.0.0.1", 0)
        )
        platform._port = server.get_extra_info("sockname")[1]
        yield platform
        server.close()
        await platform._closed.wait()

    def __init__(self):
        self._addresses = []
        self._count = 0
        self._is_away = False
        self._closed = asyncio.Event()

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, _error):
        self._closed.set()

    def datagram_received(self, data, peer):
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self._is_away:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif query.question[0].rdtype is RdataType.A:
            response.answer.append(dns.rrset.from_text(self.name, 60, "IN", "A", *self._addresses))
        self._transport.sendto(response.to_wire(), peer)

    def create(self, instance):
        settings = dns_driver.DnsSettings(
            names=(self.name,),
            resolvers=(f"127.0.0.1:{self._port}",),
            self_address=instance,
            interval=0.02,
            timeout=5.0,
        )
        return dns_driver.create_discovery(settings, CONTEXT)

    async def add(self):
        self._count += 1
        address = f"127.0.0.{self._count}"
        self._addresses.append(address)
        return address

    async def lose(self, instance):
        self._addresses.remove(instance)

    async def fail(self):
        self._is_away = True

    async def heal(self):
        self._is_away = False


class EcsPlatform(Platform):
    """The tasks of one service."""

    looks_for_proof = 2

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, _directory, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        world = EcsWorld()
        async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
            yield cls(world, ecs, metadata)

    def __init__(self, world, ecs, metadata):
        self._world, self._ecs, self._metadata = world, ecs, metadata
        self._count = 0

    def create(self, instance):
        settings = EcsSettings(
            endpoint_url=self._ecs.url, interval=0.02, confirm_stopped=0.0, timeout=5.0
        )
        endpoint = MetadataEndpoint(self._metadata.uri(self._world.tasks[instance]))
        return EcsDiscovery(settings, endpoint, None, CONTEXT.logger)

    async def add(self):
        self._count += 1
        return self._world.run(f"127.0.0.{self._count}", service="connector").arn

    async def stop(self, instance):
        self._world.stop(self._world.tasks[instance])

    async def lose(self, instance):
        self._world.forget(self._world.tasks[instance])

    async def fail(self):
        self._ecs.refuse("ClientException", "away")

    async def heal(self):
        self._ecs.heal()


class K8sPlatform(Platform):
    """The pods with one label. Only lists and watches fail, so that pods can come meanwhile."""

    label = "app=connector"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, directory, monkeypatch):
        server = ApiServer(directory, bookmark_s=0.05)
        async with server, server.world("connector") as world:
            yield cls(server, world, directory, monkeypatch)
            server.faults.clear()

    def __init__(self, server, world, directory, monkeypatch):
        self._server, self._world, self._monkeypatch = server, world, monkeypatch
        self._kubeconfig = server.write_kubeconfig(
            directory / "kubeconfig", namespace=world.namespace
        )
        self._pods = {}

    def create(self, instance):
        metadata = self._pods[instance]["metadata"]
        for variable in ("name", "namespace", "uid"):
            self._monkeypatch.setenv(f"POD_{variable.upper()}", metadata[variable])
        settings = K8sSettings(kubeconfig=self._kubeconfig, label_selector=self.label)
        return k8s_plugin.create_discovery(settings, CONTEXT)

    async def add(self):
        number = len(self._pods) + 1
        pod = await self._world.running_pod(
            f"connector-{number}",
            f"127.0.0.{number}",
            labels=dict([self.label.split("=")]),
        )
        self._pods[pod["metadata"]["uid"]] = pod
        return pod["metadata"]["uid"]

    async def stop(self, instance):
        await self._world.finish(self._pods[instance])

    async def lose(self, instance):
        await self._world.vanish(self._pods[instance])

    async def fail(self):
        for verb in ("list", "watch"):
            self._server.faults.refuse(503, verb=verb, times=1_000_000)
        for watch in list(self._server.watches):
            watch.drop()

    async def heal(self):
        self._server.faults.clear()


PLATFORMS = {
    "static": StaticPlatform,
    "dns": DnsPlatform,
    "ecs": EcsPlatform,
    "k8s": K8sPlatform,
}
NEEDS = {"changing": "can_change", "failing": "can_fail", "vouching": "vouches"}


def pytest_generate_tests(metafunc):
    """Each behaviour on each platform that has what it is about."""
    if "platform" in metafunc.fixturenames:
        needs = [NEEDS[name] for name in metafunc.fixturenames if name in NEEDS]
        wanted = [
            name
            for name, platform in PLATFORMS.items()
            if all(getattr(platform, need) for need in needs)
        ]
        metafunc.parametrize("platform", wanted, indirect=True)


@pytest.fixture
async def platform(request, tmp_path, monkeypatch):
    """A platform, without any instance."""
    async with PLATFORMS[request.param].open(tmp_path, monkeypatch) as platform:
        yield platform


@pytest.fixture
async def create(platform):
    """Builds the driver of an instance, and closes it at the end."""
    async with contextlib.AsyncExitStack() as stack:

        def create(instance):
            driver = platform.create(instance)
            stack.push_async_callback(driver.aclose)
            return driver

        yield create


@pytest.fixture
def changing(platform):
    """A platform where instances can come and go."""
    return platform


@pytest.fixture
def failing(platform):
    """A platform that can be away."""
    return platform


@pytest.fixture
def vouching(platform):
    """A platform where instances can come and go, and that vouches for those that have ended."""
    return platform
