"""The view that peers add up to, and where they are looked for."""

from __future__ import annotations

from typing import Any

import pytest

from formal_cluster.errors import DiscoveryError
from formal_cluster.model import Instance, InstanceState
from formal_cluster_discovery_k8s.peers import Peer
from formal_cluster_discovery_k8s.permissions import PODS, PODS_OF_SERVICE, SLICES
from formal_cluster_discovery_k8s.query import Query
from formal_cluster_discovery_k8s.settings import K8sSettings
from formal_cluster_discovery_k8s.source import source_of
from formal_cluster_discovery_k8s.views import view_of

STARTING, RUNNING = InstanceState.STARTING, InstanceState.RUNNING
STOPPED, UNKNOWN = InstanceState.STOPPED, InstanceState.UNKNOWN
ME = Instance("me", "10.0.0.9", RUNNING, started_at=5.0)


def peer(id_: str, state: InstanceState = RUNNING, *addresses: str, node: str | None = "n") -> Peer:
    return Peer(id_, f"pod-{id_}", state, addresses, node=node)


def view(*peers: Peer, me: Instance | None = None, family: Any = None, zones: Any = None) -> Any:
    return view_of(peers, me=me, family=family, zones=zones or {})


def test_instances_are_sorted_and_all_there_is():
    found, gaps = view(peer("b", RUNNING, "10.0.0.2"), peer("a", UNKNOWN, "10.0.0.1"))
    assert [("a", UNKNOWN), ("b", RUNNING)] == [(i.id, i.state) for i in found.instances]
    assert (True, []) == (found.complete, gaps)


def test_a_pod_without_a_node_is_no_instance_and_nobody_is_missing():
    found, gaps = view(peer("a", STARTING, node=None))
    assert ((), True, []) == (found.instances, found.complete, gaps)


@pytest.mark.parametrize("state", [STARTING, RUNNING, UNKNOWN])
def test_a_pod_on_a_node_without_an_address_is_missing(state):
    found, gaps = view(peer("a", state))
    assert ((), False) == (found.instances, found.complete)
    assert ["pod pod-a has no address yet"] == gaps


def test_a_dead_pod_without_an_address_is_shown_because_its_id_is_the_evidence():
    found, _ = view(peer("a", STOPPED))
    assert ((Instance("a", "", STOPPED),), True) == (found.instances, found.complete)


def test_this_process_runs_whatever_the_platform_says():
    found, gaps = view(peer("me", STARTING, "10.0.0.9"), me=ME)
    assert (Instance("me", "10.0.0.9", RUNNING),) == found.instances
    assert [] == gaps


def test_this_process_is_shown_before_it_is_listed_and_the_view_is_not_complete():
    found, gaps = view(me=ME)
    assert ((ME,), False) == (found.instances, found.complete)
    assert ["this pod itself is not listed (yet)"] == gaps


def test_a_pod_mentioned_twice_is_one_instance_with_both_addresses():
    mentions = peer("a", RUNNING, "10.0.0.1"), peer("a", RUNNING, "fd00::1")
    [four], [six] = (view(*mentions, family=f)[0].instances for f in ("ipv4", "ipv6"))
    assert ("10.0.0.1", "fd00::1") == (four.address, six.address)


def test_zones_come_from_the_nodes():
    found, _ = view(peer("a", RUNNING, "10.0.0.1", node="n1"), zones={"n1": "eu-1a"})
    assert ["eu-1a"] == [instance.zone for instance in found.instances]


def pod(name: str, owner: tuple[str, str] | None = None, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"uid": f"uid-{name}", "name": name, "labels": labels}
    if owner is not None:
        kind, owner_name = owner
        reference = {"kind": kind, "name": owner_name, "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"metadata": metadata, "status": {"phase": "Running"}}


def names(source: Any, *documents: Any) -> list[str]:
    return [peer.name for document in documents for peer in source.parse(document)]


OLD = {"pod-template-hash": "1a", "version": "1"}
NEW = {"pod-template-hash": "2b", "version": "2"}


def test_by_default_the_pods_of_the_own_workload_are_the_peers_in_all_revisions():
    me = pod("me", ("ReplicaSet", "connector-2b"), **NEW)
    old = pod("old", ("ReplicaSet", "connector-1a"), **OLD)
    other = pod("other", ("ReplicaSet", "website-1a"), **OLD)
    source = source_of(K8sSettings(), "ns", me)
    assert Query(PODS, "ns") == source.query
    assert ["me", "old"] == names(source, me, old, other, pod("bare"))


def test_with_a_label_selector_the_server_selects():
    source = source_of(K8sSettings(label_selector="app=x"), "ns", None)
    assert Query(PODS, "ns", "app=x") == source.query
    assert ["bare"] == names(source, pod("bare"))


def test_with_a_service_its_slices_are_read_and_single_pods_only_if_permitted():
    source = source_of(K8sSettings(service="peers"), "ns", None)
    assert Query(SLICES, "ns", "kubernetes.io/service-name=peers") == source.query
    assert PODS_OF_SERVICE is source.pod_permission


@pytest.mark.parametrize(
    ("own_pod", "message"),
    [
        (None, r"which pods are the instances\? .* set discovery\.k8s\.label_selector"),
        (pod("bare"), r"pod bare belongs to no Deployment .* set discovery\.k8s\.label_selector"),
    ],
)
def test_where_nothing_tells_which_pods_they_are_the_mend_is_named(own_pod, message):
    with pytest.raises(DiscoveryError, match=message):
        source_of(K8sSettings(), "ns", own_pod)
