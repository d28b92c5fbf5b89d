"""docs/back-up-and-restore.md: three instances go back to a file, and count on from there."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_saved_state_is_brought_back_as_a_new_cluster(
    walk, machines, settings, policy, looks_like
):
    a, *others = everyone = machines.three()
    serve = "formal-cluster serve --config /etc/formal-cluster/config.toml"
    for machine in everyone:
        machine.roots = ("/etc/formal-cluster", "/var/lib/formal-cluster", "/backup")
        machine.write("/etc/formal-cluster/config.toml", settings)
        machine.write("/etc/formal-cluster/policies/bucket.rego", policy)
        machine.start(serve)
    a.write("/backup/README", "the shared state")
    for machine in everyone:
        machine.until_clustered(voters=3)

    with walk("docs/back-up-and-restore.md") as page:
        use_up("saved", everyone)
        shown = a.run(page.take("formal-cluster snapshot save"))
        assert looks_like(page.take("/backup/shared-state.db"), shown.replace(str(a.directory), ""))
        use_up("written later", everyone)

        for machine in everyone:
            machine.stop()
        a.run(page.take("formal-cluster snapshot restore"))
        move_away = page.take("mv")
        for machine in others:
            machine.run(move_away)
    a.start(serve)
    a.until_clustered(voters=1)
    for machine in others:
        machine.start(serve)
    for machine in everyone:
        machine.until_clustered(voters=3)
        assert "block" == machine.access("saved")
    assert "allow" == a.access("written later")


def use_up(user, everyone):
    """All five accesses, known to everyone and so in the store."""
    for machine in (*everyone, *everyone[:2]):
        assert "allow" == machine.access(user)
    for machine in everyone:
        machine.until_blocked(user)
