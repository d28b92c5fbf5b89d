"""docs/tls.md and docs/external-etcd.md: certificates are made, and everything is said by TLS."""

from __future__ import annotations

import shutil

import pytest

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program on PATH"),
]
SERVE = "formal-cluster serve --config /etc/formal-cluster/config.toml"
ROOTS = ("/etc/formal-cluster", "/var/lib/formal-cluster")


def test_two_instances_with_the_pages_certificates_form_a_cluster(walk, machines, settings, policy):
    a, b = both = machines.three()[:2]
    only_two = "\n".join(line for line in settings.splitlines() if 'id = "c"' not in line)
    ports = {":2379": f":{machines.client_port}", ":2380": f":{machines.peer_port}"}
    with walk("docs/tls.md", ports) as page:
        table = page.take("[store.etcd.tls]")
        for machine in both:
            machine.roots = ROOTS
            # Connections over the loopback interface come from another address, as behind NAT.
            machine.environment["ADDRESS"] = f"{machine.address},IP:127.0.0.1"
            machine.write("/etc/formal-cluster/config.toml", f"{only_two}\n{table}")
            machine.write("/etc/formal-cluster/policies/bucket.rego", policy)
        a.run(f"cd /etc/formal-cluster\n{page.take('openssl req -x509')}")
        certify = f"cd /etc/formal-cluster\n{page.take('openssl req -new')}"
        copy_authority(a, b)
        for machine in both:
            machine.run(certify)
            machine.start(SERVE)
        for machine in both:
            machine.until_clustered(voters=1)
        look = page.take("$ etcdctl").replace("$ etcdctl", "etcdctl").replace("$ curl", "curl")
        a.environment["ADDRESS"] = a.address

        def both_are_members() -> bool:
            shown = a.run(f"cd /etc/formal-cluster\n{look}")
            urls = [f"https://{machine.address}:{machines.peer_port}" for machine in both]
            return [2, 2] == [shown.count(url) for url in urls]

        a.until("told of both members by etcdctl and by curl", both_are_members)


def copy_authority(from_, to):
    for name in ("ca.crt", "ca.key"):
        file = f"etc/formal-cluster/{name}"
        shutil.copy(from_.directory / file, to.directory / file)


def test_two_instances_share_a_count_in_an_etcd_of_ones_own(walk, machines, policy):
    """One member at three addresses stands for the page's three."""
    etcd = machines.make("etcd")
    hosts = [f"{machines.subnet}{number}" for number in (1, 2, 3)]
    etcd.environment["ADDRESS"] = ",IP:".join(hosts)
    with walk("docs/tls.md") as page:
        etcd.run(page.take("openssl req -x509"))
        etcd.run(page.take("openssl req -new"))
        page.take("$ etcdctl")
    urls = [f"https://{host}:{machines.client_port}" for host in hosts]
    etcd.start(
        "etcd --cert-file tls.crt --key-file tls.key --trusted-ca-file ca.crt --client-cert-auth"
        f" --listen-client-urls {','.join(urls)} --advertise-client-urls {','.join(urls)}"
        f" --listen-peer-urls http://{hosts[0]}:{machines.peer_port}"
    )
    endpoints = {f"https://etcd-{n}:2379": url for n, url in enumerate(urls, start=1)}
    connectors = [machines.make(f"connector-{number}", number + 3) for number in (1, 2)]
    with walk("docs/external-etcd.md", endpoints) as page:
        file = page.take("[instance]")
    for machine in connectors:
        machine.roots = ROOTS
        # Not those of a machine with an embedded etcd: here they would be refused.
        for name in ("CLIENT_PORT", "PEER_PORT"):
            del machine.environment[f"FORMAL_CLUSTER_STORE__ETCD__{name}"]
        own = file.replace('"connector-1"', f'"{machine.name}"')
        machine.write("/etc/formal-cluster/config.toml", f'{own}\n[policy]\npaths = ["policies"]\n')
        machine.write("/etc/formal-cluster/policies/bucket.rego", policy)
        for there, here in (("ca", "etcd-ca"), ("tls", "etcd-client")):
            target = machine.directory / "etc/formal-cluster" / f"{here}.crt"
            shutil.copy(etcd.directory / f"{there}.crt", target)
        shutil.copy(etcd.directory / "tls.key", target.with_suffix(".key"))
        machine.start(SERVE)
    one, two = connectors
    for machine in connectors:
        machine.until("clustered", lambda m=machine: m.get("/ready").get("state") == "clustered")
    for machine in (one, two, one, two, one):
        assert "allow" == machine.access("alice")
    for machine in connectors:
        machine.until_blocked("alice")
