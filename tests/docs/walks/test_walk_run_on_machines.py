"""docs/run-on-machines.md: three machines form a cluster, two are lost, one goes on, all return."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]

ROOTS = ("/etc/formal-cluster", "/var/lib/formal-cluster")
UNIT = Path(__file__).parents[3] / "deploy/systemd/formal-cluster.service"


def test_the_machines_form_a_cluster_and_outlive_the_loss_of_two(walk, machines, policy, symptoms):
    a, b, c = everyone = machines.three()
    replaced = {"10.0.0.": machines.subnet, "/opt/formal-cluster/bin/": ""}
    of_b = dict(zip(("12379", "12380", "8182"), machines.free_ports(), strict=True))
    with walk("docs/run-on-machines.md", replaced | of_b) as page:
        file = page.take("[discovery]\n")
        two_on_one_machine(page, machines, policy, of_b["8182"])
        unit = page.adapted(UNIT.read_text())
        start = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE).group(1)
        environment = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
        for machine in everyone:
            machine.roots = ROOTS
            machine.write("/etc/formal-cluster/config.toml", file)
            machine.write("/etc/formal-cluster/policies/bucket.rego", policy)
            machine.start(f"env {' '.join(environment)} {start}")
        for machine in everyone:
            machine.until_clustered(voters=3)

        status, discover = page.take("formal-cluster status").splitlines()
        assert "clustered" in a.run(status)
        assert "b" in a.run(discover)

        a.kill()
        b.kill()
        for message in ("no quorum has answered for", "… is not known to be gone"):
            c.until(message, lambda m=message: symptoms.shows(m, str(c.get("/v1/cluster"))))
        assert "degraded" in c.run(status, status=3)
        c.run(page.take("formal-cluster recover"))
        c.until_clustered(voters=1)
    for machine in (a, b):
        machine.start(f"env {' '.join(environment)} {start}")
    for machine in everyone:
        machine.until_clustered(voters=3)
    assert list(a.directory.glob("var/lib/**/set-aside-*"))


def two_on_one_machine(page, machines, policy, port_of_b):
    terminals = [machines.make(name) for name in ("terminal-1", "terminal-2")]
    file = page.take("[discovery.static]")
    for terminal in terminals:
        terminal.write("two.toml", file)
        terminal.write("policies/bucket.rego", policy)
        terminal.start(f"env {page.take('FORMAL_CLUSTER_INSTANCE__ID')}")
    one, two = terminals
    two.api = f"http://{two.address}:{port_of_b}"
    for terminal in terminals:
        terminal.until_clustered(voters=1)
    for asked in (one, two, one, two, one):
        assert "allow" == asked.access("alice")
    two.until_blocked("alice")
    for terminal in terminals:
        terminal.kill()


def test_a_machine_is_added_and_another_one_removed(machines, settings, policy):
    """The page's last section, from two machines to three and back."""
    a, b, c = machines.three()
    serve = "formal-cluster serve --config /etc/formal-cluster/config.toml"

    def list_(*listed):
        for machine in listed:
            machine.roots = ROOTS
            names = {other.name for other in listed}
            lines = [line for line in settings.splitlines() if entry(line) in {None, *names}]
            machine.write("/etc/formal-cluster/config.toml", "\n".join(lines))
            machine.write("/etc/formal-cluster/policies/bucket.rego", policy)

    def restart(machine, voters, how=serve):
        machine.stop()
        machine.start(how)
        machine.until_clustered(voters)

    list_(a, b)
    for machine in (a, b):
        machine.start(serve)
    for machine in (a, b):
        machine.until_clustered(voters=1)
    for machine in (a, b, a, b, a):
        assert "allow" == machine.access("alice")
    b.until_blocked("alice")

    list_(a, b, c)
    for machine in (a, b):
        restart(machine, voters=1)
    c.start(serve)
    c.until_clustered(voters=3)
    c.until_blocked("alice")

    restart(a, 3, how=f"env FORMAL_CLUSTER_STORE__ETCD__LEAVE_ON_STOP=true {serve}")
    a.stop()
    list_(b, c)
    for machine in (b, c):
        restart(machine, voters=1)
        machine.until_blocked("alice")


def entry(line):
    """The id of an instance that a line of the file lists."""
    found = re.search(r'\{ id = "(\w+)"', line)
    return found and found.group(1)
