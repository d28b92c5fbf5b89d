"""The platforms that discovery drivers are tried on, each with its own driver.

To try another driver on the same behaviours, add its platform here: a class like `Platform`, its
entry in PLATFORMS, and a branch in the fixture `platform`.
"""

import contextlib
import logging

import pytest

from formal_cluster.discovery import static
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer
from formal_cluster_discovery_ecs.ecs import EcsDiscovery
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings

LOGGER = logging.getLogger("test.discovery")


class Platform:
    """What a test may do to the platform below a driver.

    Attributes:
        can_change: Whether instances can come and go while a driver runs.
        can_fail: Whether the platform can be away.
        looks_for_proof: How often a driver has to look until a death is proven.
    """

    can_change = True
    can_fail = True
    looks_for_proof = 1

    def create(self, instance):
        """The driver in this instance."""
        raise NotImplementedError

    def add(self):
        """One more instance, running; its id."""
        raise NotImplementedError

    def stop(self, instance):
        """It stops, and the platform vouches for that."""
        raise NotImplementedError

    def lose(self, instance):
        """It is gone, and the platform does not say why."""
        raise NotImplementedError

    def fail(self):
        """The platform answers no more."""
        raise NotImplementedError

    def heal(self):
        """It answers again."""
        raise NotImplementedError


class StaticPlatform(Platform):
    """Two listed instances, for ever."""

    can_change = can_fail = False

    def __init__(self):
        self._added = iter("ab")

    def create(self, instance):
        table = {
            "self": instance,
            "instances": [{"id": id_, "address": f"{id_}.internal"} for id_ in "ab"],
        }
        settings = static.discovery_settings().model_validate(table)
        return static.create_discovery(settings, DiscoveryContext(None, LOGGER))

    def add(self):
        return next(self._added)


class EcsPlatform(Platform):
    """The tasks of one service."""

    looks_for_proof = 2

    def __init__(self, world, ecs, metadata):
        self._world, self._ecs, self._metadata = world, ecs, metadata
        self._count = 0

    def create(self, instance):
        settings = EcsSettings(
            endpoint_url=self._ecs.url, interval=0.02, confirm_stopped=0.0, timeout=5.0
        )
        endpoint = MetadataEndpoint(self._metadata.uri(self._world.tasks[instance]))
        return EcsDiscovery(settings, endpoint, None, LOGGER)

    def add(self):
        self._count += 1
        return self._world.run(f"127.0.0.{self._count}", service="connector").arn

    def stop(self, instance):
        self._world.stop(self._world.tasks[instance])

    def lose(self, instance):
        self._world.forget(self._world.tasks[instance])

    def fail(self):
        self._ecs.refuse("ClientException", "away")

    def heal(self):
        self._ecs.heal()


PLATFORMS = {"static": StaticPlatform, "ecs": EcsPlatform}


def pytest_generate_tests(metafunc):
    """Each behaviour on each platform; those that need changes or outages where there are any."""
    wanted = PLATFORMS.items()
    if "changing" in metafunc.fixturenames:
        wanted = [(name, kind) for name, kind in wanted if kind.can_change]
    if "failing" in metafunc.fixturenames:
        wanted = [(name, kind) for name, kind in wanted if kind.can_fail]
    if "platform" in metafunc.fixturenames:
        metafunc.parametrize("platform", [name for name, _ in wanted], indirect=True)


@pytest.fixture
async def platform(request, monkeypatch):
    if request.param == "static":
        yield StaticPlatform()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    world = EcsWorld()
    async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
        yield EcsPlatform(world, ecs, metadata)


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
