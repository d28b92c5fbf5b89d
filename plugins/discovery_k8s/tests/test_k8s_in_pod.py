"""In a pod: the mounted service account, the host name, tokens that are replaced while it runs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable

LABELS = {"app": "connector"}
SELECTOR = "app=connector"


@pytest.fixture
def in_cluster(monkeypatch):
    """Sets the variables by which a pod finds the API server."""

    def settle(url):
        parts = urlsplit(url)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", parts.hostname)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(parts.port or 443))

    return settle


async def test_a_pod_needs_no_settings(place, drive, in_cluster, states, monkeypatch):
    if place.server is None:
        pytest.skip("a real server collects pods as garbage whose controller does not exist")
    owner = ("StatefulSet", "connector")
    me = await place.world.running_pod("connector-0", "10.0.0.1", owner=owner)
    await place.world.running_pod("connector-1", "10.0.0.2", owner=owner)
    directory = await place.service_account("formal-cluster")
    in_cluster(place.world.url)
    monkeypatch.setattr(socket, "gethostname", lambda: "connector-0")
    driver = drive(service_account=directory)
    assert me["metadata"]["uid"] == (await driver.identify()).id
    assert {"10.0.0.1": "running", "10.0.0.2": "running"} == states(await driver.discover())


async def test_a_mounted_service_account_is_enough_on_any_server(place, drive, in_cluster, states):
    me = await place.world.running_pod("connector-0", "10.0.0.1", labels=LABELS)
    directory = await place.service_account("formal-cluster")
    in_cluster(place.world.url)
    driver = drive(me, service_account=directory, label_selector=SELECTOR)
    assert {"10.0.0.1": "running"} == states(await driver.discover())


async def test_a_token_that_was_replaced_is_read_again_at_once(
    our_place, drive, in_cluster, states
):
    me = await our_place.world.running_pod("connector-0", "10.0.0.1", labels=LABELS)
    directory = await our_place.service_account("formal-cluster")
    in_cluster(our_place.world.url)
    driver = drive(me, service_account=directory, label_selector=SELECTOR)
    await driver.discover()
    old = (directory / "token").read_text()
    (directory / "token").write_text(await our_place.world.token())
    del our_place.server.tokens[old]
    assert {"10.0.0.1": "running"} == states(await driver.discover())


async def test_a_token_that_is_not_valid_any_more_is_unknown_until_there_is_another(
    our_place, drive, in_cluster, watching, watch_under_way
):
    me = await our_place.world.running_pod("connector-0", "10.0.0.1", labels=LABELS)
    directory = await our_place.service_account("formal-cluster")
    in_cluster(our_place.world.url)
    driver = drive(me, service_account=directory, label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running"})
        watch = await watch_under_way(our_place.server)
        del our_place.server.tokens[(directory / "token").read_text()]
        with pytest.raises(DiscoveryUnavailable, match=r"credentials are not accepted"):
            await driver.discover()
        watch.drop()
        (directory / "token").write_text(await our_place.world.token())
        await our_place.world.running_pod("connector-1", "10.0.0.2", labels=LABELS)
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})


async def test_a_token_file_that_is_being_replaced_does_not_end_a_watch(
    our_place, drive, in_cluster, watching, watch_under_way
):
    me = await our_place.world.running_pod("connector-0", "10.0.0.1", labels=LABELS)
    directory = await our_place.service_account("formal-cluster")
    in_cluster(our_place.world.url)
    driver = drive(me, service_account=directory, label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running"})
        watch = await watch_under_way(our_place.server)
        token = (directory / "token").read_text()
        del our_place.server.tokens[token]
        (directory / "token").unlink()
        watch.drop()
        for _ in range(2):
            with pytest.raises(DiscoveryUnavailable):
                await driver.discover()
        (directory / "token").write_text(await our_place.world.token())
        await our_place.world.running_pod("connector-1", "10.0.0.2", labels=LABELS)
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})


async def test_outside_of_kubernetes_the_mend_is_named(drive, tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    driver = drive(service_account=tmp_path, namespace="proxies")
    with pytest.raises(
        DiscoveryError, match=r"has no access to Kubernetes: Service host/port is n"
    ):
        await driver.identify()


@pytest.mark.parametrize("content", [None, "", "{}", "no: [kubeconfig", "[]"])
async def test_a_kubeconfig_that_cannot_be_used_is_refused(drive, tmp_path, content):
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    with pytest.raises(DiscoveryError, match=r"the kubeconfig .*/kubeconfig cannot be used"):
        await driver.discover()


async def test_a_server_with_a_certificate_of_a_stranger_is_not_trusted(
    our_place, drive, in_cluster, tmp_path
):
    if our_place.ca_file is None:
        pytest.skip("needs HTTPS, and so the openssl program")
    from formal_cluster_conformance.k8s import tls

    me = await our_place.world.running_pod("connector-0", "10.0.0.1", labels=LABELS)
    directory = await our_place.service_account("formal-cluster")
    strangers = tmp_path / "stranger"
    strangers.mkdir()
    _, ca_file = await asyncio.to_thread(tls.make_server_context, strangers)
    (directory / "ca.crt").write_bytes(ca_file.read_bytes())
    in_cluster(our_place.world.url)
    driver = drive(me, service_account=directory, label_selector=SELECTOR)
    with pytest.raises(DiscoveryUnavailable, match=r"(?s)no connection .*certificate verify fail"):
        await driver.identify()


def test_the_client_is_not_imported_before_the_driver_is_used():
    code = """
import logging, sys
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_discovery_k8s import plugin
settings = plugin.discovery_settings()()
driver = plugin.create_discovery(settings, DiscoveryContext(None, logging.getLogger()))
assert not {"kubernetes", "urllib3", "yaml"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
