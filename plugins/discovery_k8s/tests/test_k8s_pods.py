"""What a Pod object means for an instance, and which pods belong together."""

from __future__ import annotations

from typing import Any

import pytest

from formal_cluster.model import Instance, InstanceState
from formal_cluster_discovery_k8s.peers import Peer, family_of, instance_of, preferred
from formal_cluster_discovery_k8s.pods import parse, state_of
from formal_cluster_discovery_k8s.workload import Workload, workload_of

RUNS = {"name": "connector", "state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}}}
ENDED = {"name": "connector", "state": {"terminated": {"exitCode": 137}}}


def pod(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": "uid-1", "name": "connector-0", **metadata},
        "spec": {"nodeName": "node-1"},
        "status": status or {"phase": "Running"},
    }


DELETED = {"deletionTimestamp": "2026-11-01T00:00:30Z"}


@pytest.mark.parametrize(
    ("state", "status", "metadata"),
    [
        ("starting", {"phase": "Pending"}, {}),
        ("running", {"phase": "Running"}, {}),
        ("running", {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, {}),
        ("stopped", {"phase": "Succeeded"}, {}),
        ("stopped", {"phase": "Failed"}, {}),
        ("stopped", {"phase": "Failed", "containerStatuses": [ENDED]}, {}),
        ("stopped", {"phase": "Succeeded", "containerStatuses": [ENDED]}, DELETED),
        ("unknown", {"phase": "Unknown"}, {}),
        ("unknown", {"phase": "Running"}, DELETED),
        ("unknown", {"phase": "Pending"}, DELETED),
        ("unknown", {"phase": "SomethingNew"}, {}),
        ("unknown", {}, {}),
    ],
)
def test_the_phase_and_the_deletion_tell_the_state(state, status, metadata):
    assert state == state_of(pod(status, **metadata) | {"status": status})


@pytest.mark.parametrize(
    "statuses", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
)
def test_a_pod_declared_failed_while_its_containers_are_still_said_to_run_is_unknown(statuses):
    assert state_of(pod({"phase": "Failed", statuses: [ENDED, RUNS]})) is InstanceState.UNKNOWN


def test_a_pod_becomes_a_peer_with_all_that_it_tells():
    document = pod(
        {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        },
        creationTimestamp="2026-11-01T00:00:00Z",
        labels={"pod-template-hash": "5d8f", "topology.kubernetes.io/zone": "eu-1a"},
    )
    document["spec"]["terminationGracePeriodSeconds"] = 60
    expected = Peer(
        id="uid-1",
        name="connector-0",
        state=InstanceState.RUNNING,
        addresses=("10.0.0.1", "fd00::1"),
        node="node-1",
        started_at=1793491200.0,
        zone="eu-1a",
        generation="5d8f",
        grace_s=60,
    )
    assert expected == parse(document)


def test_all_instances_see_the_same_start_from_the_beginning():
    created = {"creationTimestamp": "2026-11-01T00:00:00Z"}
    before = parse(pod({"phase": "Pending"}, **created))
    after = parse(pod({"phase": "Running", "startTime": "2026-11-01T00:00:09Z"}, **created))
    assert before.started_at == after.started_at


def test_a_stateful_sets_revision_is_its_pods_generation():
    assert "rev-2" == parse(pod(labels={"controller-revision-hash": "rev-2"})).generation


def test_an_old_server_that_lists_one_address_only_is_understood():
    assert ("10.0.0.1",) == parse(pod({"phase": "Running", "podIP": "10.0.0.1"})).addresses


@pytest.mark.parametrize(
    ("unseen", "status", "spec"),
    [
        (True, {"phase": "Pending"}, {"nodeName": "node-1"}),
        (True, {"phase": "Running"}, {"nodeName": "node-1"}),
        (False, {"phase": "Pending"}, {}),
        (False, {"phase": "Failed"}, {"nodeName": "node-1"}),
        (False, {"phase": "Running", "podIP": "10.0.0.1"}, {"nodeName": "node-1"}),
    ],
)
def test_a_pod_on_a_node_may_run_before_its_address_is_known(unseen, status, spec):
    assert unseen is parse(pod(status) | {"spec": spec}).may_run_unseen


@pytest.mark.parametrize(
    ("address", "family"),
    [("10.0.0.1", None), ("10.0.0.1", "ipv4"), ("fd00::1", "ipv6")],
)
def test_the_preferred_family_chooses_among_the_addresses(address, family):
    assert address == preferred(("10.0.0.1", "fd00::1"), family)


def test_a_pod_without_an_address_of_the_preferred_family_is_reached_at_what_it_has():
    assert "10.0.0.1" == preferred(("10.0.0.1",), "ipv6")
    assert preferred((), "ipv6") is None


def test_addresses_know_their_family():
    assert ("ipv4", "ipv6") == (family_of("10.0.0.1"), family_of("fd00::1"))


def test_the_zone_of_the_node_is_used_when_the_pod_does_not_say():
    peer = Peer("a", "a", InstanceState.RUNNING, ("10.0.0.1",), node="node-1")
    assert "eu-1a" == instance_of(peer, None, {"node-1": "eu-1a"}).zone
    assert instance_of(peer, None, {}).zone is None


def test_a_dead_peer_that_never_had_an_address_is_evidence_all_the_same():
    expected = Instance("a", "", InstanceState.STOPPED)
    assert expected == instance_of(Peer("a", "a", InstanceState.STOPPED), None, {})


def owned(kind: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    other = {"kind": "Thing", "name": "other", "controller": False}
    mine = {"kind": kind, "name": name, "controller": True}
    return pod(ownerReferences=[other, mine], labels=labels or {})


@pytest.mark.parametrize(
    ("workload", "document"),
    [
        (
            Workload("Deployment", "connector"),
            owned("ReplicaSet", "connector-5d8f", {"pod-template-hash": "5d8f"}),
        ),
        (
            Workload("Deployment", "connector"),
            owned("ReplicaSet", "connector-77aa", {"rollouts-pod-template-hash": "77aa"}),
        ),
        (Workload("ReplicaSet", "connector-5d8f"), owned("ReplicaSet", "connector-5d8f")),
        (
            Workload("StatefulSet", "connector"),
            owned("StatefulSet", "connector", {"controller-revision-hash": "connector-1"}),
        ),
        (Workload("DaemonSet", "connector"), owned("DaemonSet", "connector")),
        (None, pod()),
    ],
)
def test_a_pod_tells_which_workload_it_is_of(workload, document):
    assert workload == workload_of(document)


def test_two_revisions_of_a_deployment_are_one_workload_whatever_labels_differ():
    old = owned("ReplicaSet", "connector-1a", {"pod-template-hash": "1a", "version": "1"})
    new = owned("ReplicaSet", "connector-2b", {"pod-template-hash": "2b", "version": "2"})
    assert workload_of(old) == workload_of(new)


def test_two_deployments_of_which_one_name_begins_with_the_other_are_two_workloads():
    one = owned("ReplicaSet", "connector-1a", {"pod-template-hash": "1a"})
    other = owned("ReplicaSet", "connector-blue-1a", {"pod-template-hash": "1a"})
    assert workload_of(one) != workload_of(other)
