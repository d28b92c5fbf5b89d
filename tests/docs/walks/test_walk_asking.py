"""What the pages about policies, counters, the cache and HTTP ask one instance, and its answers."""

from __future__ import annotations

import re
import sys

import pytest
from aiohttp.test_utils import TestClient, TestServer

from formal_cluster import Cluster
from formal_cluster.server.app import build_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ASKED = {"user": {"id": "alice"}, "bucket": {"name": "sensitive-bucket"}}
SERVE = "formal-cluster serve --config connector.toml"
SETTINGS = """
[discovery.static]
instances = [{ id = "a", address = "127.0.0.1" }]

[store]
driver = "memory"

[policy]
paths = ["policies"]

[cache.jobs]
http = true

[server]
ready_after_seconds = 0
"""


@pytest.fixture
def here(machines, policy):
    machine = machines.make("here")
    machine.write("connector.toml", SETTINGS.replace("127.0.0.1", machine.address))
    machine.write("policies/sensitive_bucket.rego", policy)
    return machine


@pytest.fixture
def serving(here):
    here.start(SERVE)
    here.until("ready", lambda: here.get("/ready").get("ready") is True)
    return here


def test_an_instance_answers_the_requests_of_the_pages(walk, serving):
    with walk("core/README.md") as page:
        serve, status, doctor = page.take("formal-cluster serve").splitlines()
        assert SERVE == serve
        serving.run(status, status=4)  # alone, since its store is in memory
        serving.run(doctor)
        embedded = page.take("from formal_cluster import Cluster")
        settings = "tomllib.loads(open('connector.toml').read())"
        serving.write(
            "proxy.py", f"import asyncio, tomllib\n{embedded}\nasyncio.run(serve({settings}))\n"
        )
        assert "allow\n" == serving.run(f"{sys.executable} proxy.py")
    with walk("docs/reference/http.md") as page:
        ask = page.take("curl")
        for _ in range(5):
            assert '"result"' not in serving.run(ask)
        assert '"remaining"' in serving.run(ask)
        assert '"block"' in serving.run(ask)
    with walk("docs/shared-cache.md") as page:
        assert "alice" == serving.run(page.take("curl"))


def test_policies_are_checked_and_explained_as_their_page_says(walk, here):
    with walk("docs/policies.md") as page:
        shown = here.run(page.take("formal-cluster policy check"))
    assert "input.bucket.access_count.last_hour" in shown


async def test_what_is_left_of_a_limit_is_read_and_told(walk, here, policy, looks_like, capsys):
    here.write("policies/sensitive_bucket.rego", policy.replace("last_hour", "last_minute"))
    settings = {
        "store": {"driver": "memory"},
        "discovery": {"static": {"instances": [{"id": "a", "address": "127.0.0.1"}]}},
        "policy": {"paths": [str(here.directory / "policies")]},
    }
    with walk("docs/counters.md") as page:
        async with (
            Cluster.from_settings(settings) as cluster,
            TestClient(TestServer(build_app(cluster))) as client,
        ):
            exec(page.take("decision = "), {"cluster": cluster, "document": ASKED})
            for _ in range(5):
                path = "/v1/data/formal/v2/pre_request?ratelimit"
                answer = await client.post(path, json={"input": ASKED})
        shown = page.take("RateLimit-Policy")
        names = [line.partition(":")[0] for line in shown.splitlines()]
        assert looks_like(shown, "\n".join(f"{name}: {answer.headers[name]}" for name in names))
    printed = r"input\.bucket\.access_count\.last_minute 5 4 \d+\n"
    assert re.fullmatch(printed, capsys.readouterr().out)


def test_the_readme_is_followed_on_a_machine_whose_others_are_not_there_yet(walk, machines, policy):
    here = machines.make("a")
    here.environment |= {
        "FORMAL_CLUSTER_INSTANCE__ID": "a",
        "FORMAL_CLUSTER_STORE__ETCD__DATA_DIR": str(here.directory / "default.etcd"),
        "FORMAL_CLUSTER_SERVER__READY_AFTER_SECONDS": "0",
    }
    here.write("policies/sensitive_bucket.rego", policy)
    with walk("README.md", {"10.0.0.": machines.subnet}) as page:
        _install, serve, *ask = page.take("pip install").splitlines()
        here.write("connector.toml", page.take("# connector.toml"))
        here.start(serve)
        here.until("ready", lambda: here.get("/ready").get("ready") is True)
        assert "decision_id" in here.run("\n".join(ask))
        embedded = page.take("from formal_cluster import Cluster")
    first, *rest = embedded.splitlines(keepends=True)
    body = "    ".join(["", *rest])
    here.write(
        "proxy.py", f"{first}import asyncio\nasync def main():\n{body}\nasyncio.run(main())\n"
    )
    here.environment["FORMAL_CLUSTER_STORE__DRIVER"] = "memory"
    here.run(f"{sys.executable} proxy.py")
