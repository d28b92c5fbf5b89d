"""`formal-cluster demo` as a command: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from formal_cluster_demo.cli import demo
from formal_cluster_demo.polling import poll
from formal_cluster_demo.process_table import descendants, is_running, naming

COMMAND = [sys.executable, "-c", "from formal_cluster_demo.cli import demo; demo()"]


@pytest.fixture
def addresses() -> list[str]:
    """Three that no other test uses: the ports are etcd's own."""
    network = f"127.{random.randint(18, 254)}.{random.randint(0, 255)}"
    return [f"{network}.{n}" for n in (1, 2, 3)]


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Iterator[Path]:
    """Where the demonstration makes its directory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    yield tmp_path
    assert {} == poll(lambda: naming(tmp_path), lambda left: not left, within_s=100)


def test_a_taken_port_ends_it_with_status_1_before_anything_is_made(addresses, temporary):
    with socket.create_server((addresses[1], 2380)):
        answer = CliRunner().invoke(demo, ["--addresses", ",".join(addresses)])
    assert 1 == answer.exit_code
    assert answer.stderr.startswith(f"error: cannot listen on {addresses[1]} port 2380")
    assert [] == list(temporary.iterdir())


def test_a_program_gets_each_problem_as_json():
    answer = CliRunner().invoke(demo, ["--json", "--addresses", "127.0.0.1,192.0.2.1,::1"])
    assert 1 == answer.exit_code
    problems = [json.loads(line)["error"] for line in answer.stderr.splitlines()]
    assert any("192.0.2.1 is not a loopback address" in problem for problem in problems)
    assert any("'::1' is not an IPv4 address" in problem for problem in problems)


@pytest.mark.etcd
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_however_it_is_stopped_every_process_ends_with_it(how, status, addresses, temporary):
    with subprocess.Popen(
        [*COMMAND, "--addresses", ",".join(addresses)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        below = poll(
            lambda: descendants(running.pid), lambda names: "etcd" in names.values(), within_s=300
        )
        running.send_signal(how)
        assert status == running.wait(100)
    assert "etcd" in below.values()
    left = poll(lambda: [*filter(is_running, below)], lambda some: not some, within_s=100)
    assert [] == left
    if how is not signal.SIGKILL:
        assert [] == list(temporary.iterdir())
