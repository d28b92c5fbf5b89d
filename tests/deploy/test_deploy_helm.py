"""The chart, as helm renders it, against Kubernetes' own schemas and the documented manifests."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from formal_cluster.settings import Settings

OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()
SETTINGS = (
    '[server]\nready_after_seconds = 10\n[[counter]]\nname = "access_count"\ngrade = "strict"'
)
EVERYTHING = {
    "replicas": 5,
    "image": {"repository": "registry.example.com/connector", "tag": "1.0.0"},
    "policies": {"a.rego": "package formal.v2\n", "b.rego": "package formal.v2\n\nx := 1\n"},
    "settings": SETTINGS,
    "env": [{"name": "MORE", "value": "yes"}],
    "serviceAccount": {"annotations": {"example.com/role": "x"}},
    "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
    "state": {"size": "8Gi", "storageClass": "fast"},
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "data"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "priorityClassName": "high",
}
ROOT = Path(__file__).parents[2]


def helm(*arguments: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    # JSON is YAML.
    return subprocess.run(
        [ROOT / "tools/helm", *arguments, "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def chart(deploy: Path) -> str:
    return str(deploy / "helm/formal-cluster")


@pytest.fixture
def render(chart):
    def render(**values: Any) -> list[dict[str, Any]]:
        image = {"image": {"repository": "registry.example.com/connector"}}
        done = helm("template", "proxy", chart, "--namespace", "data", values=image | values)
        assert 0 == done.returncode, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return render


def only(manifests: list[dict[str, Any]], kind: str, name: str = "proxy") -> dict[str, Any]:
    (found,) = (m for m in manifests if (kind, name) == (m["kind"], m["metadata"]["name"]))
    return found


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_would_take_every_manifest(render, kind, values, version):
    manifests = render(**values, kind=kind)
    assert {kind, "Service", "Role", "RoleBinding", "NetworkPolicy"} <= {
        manifest["kind"] for manifest in manifests
    }
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_helm_has_nothing_to_complain_about(chart):
    done = helm("lint", "--strict", chart, values=EVERYTHING)
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replica": 3}, "replica"),
        ({"kind": "DaemonSet"}, "kind"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
        ({"policies": {"a.txt": "x"}}, "a.txt"),
        ({"image": {"repository": ""}}, "image.repository is required"),
    ],
)
def test_a_wrong_value_is_refused_by_name(chart, values, complaint):
    image = {"image": {"repository": "registry.example.com/connector"}}
    done = helm("template", "proxy", chart, values=image | values)
    assert 0 != done.returncode
    assert complaint in done.stderr


def documented(name: str, kind: str) -> dict[str, Any]:
    page = (ROOT / "docs/run-on-kubernetes.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    manifests = [m for block in blocks for m in yaml.safe_load_all(block)]
    return only(manifests, kind, name)


def test_the_roles_are_exactly_the_documented_ones(render):
    manifests = render()
    role = only(manifests, "Role")
    assert documented("formal-cluster", "Role")["rules"] == role["rules"]
    nodes = only(manifests, "ClusterRole", "data-proxy-nodes")
    assert documented("formal-cluster-nodes", "ClusterRole")["rules"] == nodes["rules"]


def test_the_permission_to_read_nodes_can_be_left_out(render):
    kinds = {manifest["kind"] for manifest in render(rbac={"nodes": False})}
    assert "Role" in kinds
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_everything_that_selects_pods_selects_these(render, kind):
    manifests = render(**EVERYTHING, kind=kind)
    instances = only(manifests, kind)["spec"]
    labels = instances["template"]["metadata"]["labels"]
    policy = only(manifests, "NetworkPolicy")["spec"]
    selectors = [
        instances["selector"]["matchLabels"],
        only(manifests, "Service")["spec"]["selector"],
        only(manifests, "Service", "proxy-peers")["spec"]["selector"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"],
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in instances["template"]["spec"]["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert "app.kubernetes.io/version" not in selector, "an upgrade would change it"


def test_only_the_instances_reach_the_state_servers(render):
    rules = only(render(), "NetworkPolicy")["spec"]["ingress"]
    reached = {
        port["port"]: [list(peer) for peer in rule["from"]]
        for rule in rules
        for port in rule["ports"]
    }
    assert {
        2379: [["podSelector"]],
        2380: [["podSelector"]],
        8181: [["namespaceSelector"]],
    } == reached


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_instance_reads_settings_that_it_understands(render, kind):
    manifests = render(**EVERYTHING, kind=kind)
    (container,) = only(manifests, kind)["spec"]["template"]["spec"]["containers"]
    assert ["serve", "--config=/etc/formal-cluster/config.toml"] == container["args"]
    file = only(manifests, "ConfigMap", "proxy-settings")["data"]["config.toml"]
    assert 10 == Settings.model_validate(tomllib.loads(file)).server.ready_after_seconds
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert '["k8s"]' == variables["FORMAL_CLUSTER_DISCOVERY__DRIVERS"]
    assert '["/policies"]' == variables["FORMAL_CLUSTER_POLICY__PATHS"]
    assert {"POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IP"} <= set(variables)


def test_policies_arrive_as_they_are(render):
    config = only(render(**EVERYTHING), "ConfigMap", "proxy-policies")
    assert EVERYTHING["policies"] == config["data"]


def test_a_stateful_instance_is_expected_back_with_its_disk(render):
    manifests = render(kind="StatefulSet")
    (container,) = only(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert {"name": "FORMAL_CLUSTER_STORE__ETCD__LEAVE_ON_STOP", "value": "false"} in container[
        "env"
    ]


def test_other_settings_replace_the_pods(render):
    def checksum(settings: str) -> str:
        template = only(render(settings=settings), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/settings"]

    assert checksum(SETTINGS) != checksum("")


def test_the_disk_is_writable_for_a_user_without_rights(render):
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert 10001 == pod["securityContext"]["fsGroup"]
    assert ["ALL"] == container["securityContext"]["capabilities"]["drop"]
    assert {"/default.etcd", "/tmp"} == {m["mountPath"] for m in container["volumeMounts"]}
