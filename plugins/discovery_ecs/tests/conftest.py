"""A scripted ECS, its metadata endpoint, and drivers of tasks in it."""

import logging

import pytest

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer
from formal_cluster_discovery_ecs import sdk
from formal_cluster_discovery_ecs.ecs import EcsDiscovery
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings

SERVICE = "connector"


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch, tmp_path):
    """Credentials for the scripted ECS only, and nothing of whoever runs the tests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def patient_sdk(monkeypatch):
    """An SDK that repeats no call because this machine is slow: for tests that count calls."""
    monkeypatch.setattr(sdk, "_CONNECT_TIMEOUT_S", 50.0)
    monkeypatch.setattr(sdk, "_READ_TIMEOUT_S", 50.0)


@pytest.fixture
def world():
    return EcsWorld()


@pytest.fixture
async def ecs(world):
    async with EcsServer(world) as server:
        yield server


@pytest.fixture
async def metadata(world):
    async with TaskMetadataServer(world) as server:
        yield server


@pytest.fixture
def me(world):
    """The task that the driver under test runs in."""
    return world.run("127.0.0.1", service=SERVICE)


@pytest.fixture
async def create(ecs, metadata):
    """Builds the driver of a task."""
    drivers = []

    def create(task, *, instance_id=None, **table):
        settings = EcsSettings.model_validate(
            {
                "endpoint_url": ecs.url,
                "interval": 0.02,
                "confirm_stopped": 0.0,
                "timeout": 50,
                **table,
            }
        )
        endpoint = MetadataEndpoint(metadata.uri(task), patience_s=50.0)
        context = DiscoveryContext(instance_id, logging.getLogger("test.ecs"))
        driver = EcsDiscovery(settings, endpoint, context.instance_id, context.logger)
        drivers.append(driver)
        return driver

    yield create
    ecs.heal()  # a driver that closes waits for requests that hang
    for driver in drivers:
        await driver.aclose()
