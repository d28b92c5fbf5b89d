"""What an EndpointSlice means for instances."""

from __future__ import annotations

from typing import Any

import pytest

from formal_cluster.errors import DiscoveryError
from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s.peers import Peer
from formal_cluster_discovery_k8s.slices import parse


def sliced(*endpoints: dict[str, Any] | None, address_type: str = "IPv4") -> dict[str, Any]:
    return {
        "metadata": {"uid": "s", "name": "s", "labels": {"kubernetes.io/service-name": "peers"}},
        "addressType": address_type,
        "endpoints": list(endpoints) or None,
    }


def endpoint(**conditions: bool) -> dict[str, Any]:
    return {
        "addresses": ["10.0.0.1"],
        "conditions": conditions,
        "nodeName": "node-1",
        "zone": "eu-1a",
        "targetRef": {"kind": "Pod", "name": "connector-0", "uid": "uid-1"},
    }


@pytest.mark.parametrize(
    ("state", "conditions"),
    [
        ("running", {"ready": True, "serving": True, "terminating": False}),
        # With publishNotReadyAddresses every pod is ready, whatever it serves.
        ("starting", {"ready": True, "serving": False, "terminating": False}),
        ("unknown", {"ready": True, "serving": True, "terminating": True}),
        ("unknown", {"ready": False, "serving": False, "terminating": True}),
        ("running", {"ready": True}),
        ("starting", {"ready": False}),
        ("running", {}),
    ],
)
def test_what_an_endpoint_serves_tells_its_state_and_readiness_does_not(state, conditions):
    assert [state] == [peer.state for peer in parse(sliced(endpoint(**conditions)))]


def test_an_endpoint_becomes_a_peer_with_all_that_it_tells():
    expected = Peer(
        id="uid-1",
        name="connector-0",
        state=InstanceState.RUNNING,
        addresses=("10.0.0.1",),
        node="node-1",
        zone="eu-1a",
    )
    assert (expected,) == parse(sliced(endpoint(serving=True)))


def test_a_slice_without_endpoints_has_no_peers():
    assert () == parse(sliced())


def test_host_names_are_no_pods():
    assert () == parse(sliced(endpoint(), address_type="FQDN"))


def test_an_endpoint_that_is_no_pod_is_refused_because_it_has_no_identity():
    manual = {"addresses": ["192.0.2.7"], "conditions": {"ready": True}}
    with pytest.raises(DiscoveryError, match=r"endpoint 192\.0\.2\.7 of Service peers is no pod"):
        parse(sliced(manual))
