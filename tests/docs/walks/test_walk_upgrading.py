"""docs/upgrading.md: three instances are replaced one after the other, and the count goes on."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]


def test_three_instances_are_replaced_one_after_the_other(walk, machines, settings, policy):
    settings = settings.replace("/etc/formal-cluster/", "").replace("/var/lib/formal-cluster/", "")
    everyone = machines.three()
    for machine in everyone:
        machine.write("connector.toml", settings)
        machine.write("policies/bucket.rego", policy)
        machine.start("formal-cluster serve --config connector.toml")
    for machine in everyone:
        machine.until_clustered(voters=3)
    for machine in (*everyone, *everyone[:2]):
        assert "allow" == machine.access("alice")

    with walk("docs/upgrading.md") as page:
        status = page.take("formal-cluster status")
        everyone[0].run(status)
        everyone[0].run(page.take("formal-cluster policy check"))
        ready = page.take("curl")
    for machine in everyone:
        machine.stop()
        machine.start("formal-cluster serve --config connector.toml")
        machine.run(ready)
        machine.until_clustered(voters=3)
        machine.until_blocked("alice")
