"""`python -m formal_cluster_demo.connector` as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from formal_cluster_demo.instance import POLICIES
from formal_cluster_demo.polling import poll

CONFIG = f"""
[discovery.static]
instances = [{{ id = "x", address = "127.0.0.1" }}]
[store]
driver = "memory"
[policy]
paths = ["{POLICIES}"]
[log]
format = "json"
"""


@pytest.fixture
def start(tmp_path, free_port):
    """Run the command with a configuration; the process and its URL."""
    with contextlib.ExitStack() as running:

        def run(config: str) -> tuple[subprocess.Popen[str], str]:
            (tmp_path / "connector.toml").write_text(config)
            port = free_port()
            command = [sys.executable, "-m", "formal_cluster_demo.connector"]
            command += ["--config", str(tmp_path / "connector.toml"), "--port", str(port)]
            command += ["--upstream", "http://127.0.0.1:1"]
            process = running.enter_context(
                subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            )
            running.callback(process.kill)
            return process, f"http://127.0.0.1:{port}"

        yield run


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    return False


def test_it_serves_until_sigterm_and_logs_json_lines(start):
    process, url = start(CONFIG)
    assert poll(lambda: answers(url), bool, within_s=100)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=100)
    assert -signal.SIGTERM == process.returncode
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "Application shutdown complete." in events


def test_a_wrong_setting_ends_it_with_status_1_and_names_the_key(start):
    process, _ = start(CONFIG.replace("driver", "drivr"))
    _, log = process.communicate(timeout=100)
    assert 1 == process.returncode
    assert "store.drivr" in log
    assert "Traceback" not in log


def test_a_policy_that_does_not_parse_is_named_with_its_file(start, tmp_path):
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "broken.rego").write_text("package formal.v2\n\npre_request := {\n")
    process, _ = start(CONFIG.replace(str(POLICIES), str(policies)))
    _, log = process.communicate(timeout=100)
    assert 0 != process.returncode
    assert "broken.rego:" in log
