"""A newcomer's walk: the quick start, followed to the letter in an empty directory.

The packages are there already, and `tests/test_wheels.py` installs them as the page says.
"""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_quick_start_ends_with_a_block(walk, machines, looks_like):
    here = machines.make("here")
    # However slow this machine is, ready means clustered.
    here.environment["FORMAL_CLUSTER_SERVER__READY_AFTER_SECONDS"] = "600"
    with walk("docs/quick-start.md") as page:
        assert "pip install 'formal-cluster[etcd]'" in page.take("python3 -m venv")
        settings = page.take("[discovery.static]").replace("127.0.0.1", here.address)
        here.write("connector.toml", settings)
        here.write("policies/sensitive_bucket.rego", page.take("package formal.v2"))
        here.run(page.take("formal-cluster policy check"))
        here.start(page.take("formal-cluster serve"))
        ready = here.run(page.take("curl"))
        shown = page.take('{"ready"')
        assert looks_like(shown, ready)
        answers = here.run(page.take("for attempt"))
        shown = page.take('{"decision_id"')
        assert looks_like(shown, answers), answers
    last = json.loads(answers.strip().splitlines()[-1])
    assert "block" == last["result"]["action"]
    here.stop()
