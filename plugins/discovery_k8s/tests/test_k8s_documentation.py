"""The manifests in "Run on Kubernetes" fit each other and the driver."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

from formal_cluster_discovery_k8s.identity import look_around
from formal_cluster_discovery_k8s.permissions import NODES, PODS, SLICES

TEXT = (Path(__file__).parents[3] / "docs" / "run-on-kubernetes.md").read_text()
MANIFESTS = [
    document
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    for document in yaml.safe_load_all(block)
    if "kind" in document
]


def manifest(kind, name):
    [found] = [m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


DEPLOYMENT = manifest("Deployment", "connector")
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


@pytest.mark.parametrize(
    ("permission", "kind", "name"),
    [
        (PODS, "Role", "formal-cluster"),
        (NODES, "ClusterRole", "formal-cluster-nodes"),
        (SLICES, "Role", "formal-cluster-service"),
    ],
)
def test_the_roles_grant_what_the_driver_uses_and_nothing_else(permission, kind, name):
    expected = {
        "apiGroups": [permission.group],
        "resources": [permission.resource],
        "verbs": list(permission.verbs),
    }
    assert [expected] == manifest(kind, name)["rules"]


def test_each_binding_binds_an_existing_role_to_the_account_of_the_pods():
    bindings = [m for m in MANIFESTS if m["kind"].endswith("Binding")]
    for binding in bindings:
        manifest(binding["roleRef"]["kind"], binding["roleRef"]["name"])
        [subject] = binding["subjects"]
        account = manifest("ServiceAccount", subject["name"])["metadata"]
        assert (account["name"], account["namespace"]) == (subject["name"], subject["namespace"])
        assert POD["serviceAccountName"] == account["name"]
    assert 3 == len(bindings)


def test_everything_selects_the_pods_of_the_deployment():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert labels == DEPLOYMENT["spec"]["selector"]["matchLabels"]
    assert labels == manifest("NetworkPolicy", "connector")["spec"]["podSelector"]["matchLabels"]
    assert labels == manifest("Service", "connector")["spec"]["selector"]
    assert labels == manifest("Service", "connector-peers")["spec"]["selector"]
    budget = manifest("PodDisruptionBudget", "connector")
    assert labels == budget["spec"]["selector"]["matchLabels"]


def test_the_stateful_set_runs_the_same_pods_on_disks_that_stay():
    spec = manifest("StatefulSet", "connector")["spec"]
    [claim] = spec.pop("volumeClaimTemplates")
    assert claim["metadata"]["name"] == CONTAINER["volumeMounts"][0]["name"]
    assert manifest("Service", spec.pop("serviceName"))
    assert "Parallel" == spec.pop("podManagementPolicy")
    expected = copy.deepcopy(DEPLOYMENT["spec"])
    del expected["strategy"], expected["template"]["spec"]["volumes"]
    assert expected == spec


def test_the_network_policy_opens_the_cluster_ports_to_the_pods_alone():
    between, decisions = manifest("NetworkPolicy", "connector")["spec"]["ingress"]
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert [{"podSelector": {"matchLabels": labels}}] == between["from"]
    assert [2379, 2380] == [port["port"] for port in between["ports"]]
    assert [8181] == [port["port"] for port in decisions["ports"]]


def test_the_service_for_finding_each_other_publishes_pods_that_are_not_ready():
    spec = manifest("Service", "connector-peers")["spec"]
    assert ("None", True) == (spec["clusterIP"], spec["publishNotReadyAddresses"])


def test_the_downward_api_sets_what_the_driver_reads(tmp_path):
    paths = {
        variable["name"]: variable["valueFrom"]["fieldRef"]["fieldPath"]
        for variable in CONTAINER["env"]
        if "valueFrom" in variable
    }
    values = {
        "metadata.name": "connector-x",
        "metadata.namespace": "connector",
        "metadata.uid": "uid-1",
        "status.podIP": "10.0.0.1",
    }
    environment = {name: values[path] for name, path in paths.items()}
    around = look_around(environment, tmp_path, "some-node", outside=False)
    assert ("connector-x", "connector", "uid-1", ("10.0.0.1",)) == (
        around.name,
        around.namespace,
        around.uid,
        around.addresses,
    )


def test_the_pods_can_write_are_probed_and_have_time_to_leave():
    assert "/ready" == CONTAINER["readinessProbe"]["httpGet"]["path"]
    assert "/health" == CONTAINER["livenessProbe"]["httpGet"]["path"]
    [mount] = CONTAINER["volumeMounts"]
    assert [mount["name"]] == [volume["name"] for volume in POD["volumes"]]
    assert "/default.etcd" == mount["mountPath"]
    assert POD["securityContext"]["fsGroup"]
    assert POD["terminationGracePeriodSeconds"] > 30
