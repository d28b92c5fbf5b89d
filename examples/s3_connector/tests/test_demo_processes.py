"""No process outlives the demonstration, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from formal_cluster_demo.polling import poll
from formal_cluster_demo.process_table import descendants, is_running, naming
from formal_cluster_demo.processes import Processes

IGNORES_SIGTERM = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(600)"
)
RUNNER = """
import os, sys, time
from pathlib import Path
from formal_cluster_demo.processes import Processes
with Processes() as processes:
    child = processes.start(["/bin/sleep", "600"], Path(sys.argv[1]), os.environ)
    print(child.pid, flush=True)
    time.sleep(600)
"""


def ends(pid: int) -> bool:
    return poll(lambda: not is_running(pid), bool, within_s=50, every_s=0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_children_die_with_the_process_that_started_them(how, tmp_path):
    command = [sys.executable, "-c", RUNNER, str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as runner:
        assert runner.stdout is not None
        child = int(runner.stdout.readline())
        assert is_running(child)
        runner.send_signal(how)
    assert ends(child)


def test_leaving_the_context_stops_even_a_child_that_ignores_sigterm(tmp_path, monkeypatch):
    monkeypatch.setattr("formal_cluster_demo.processes._STOP_WITHIN_S", 0.2)
    log = tmp_path / "log"
    with Processes() as processes:
        child = processes.start([sys.executable, "-c", IGNORES_SIGTERM], log, os.environ)
        assert poll(lambda: "ready" in log.read_text(), bool, within_s=100)
    assert -signal.SIGKILL == child.exit_status
    assert not is_running(child.pid)


def test_grandchildren_are_found_by_descent_and_by_a_path_in_their_command_line(tmp_path):
    marker = tmp_path / "marker"
    with Processes() as processes:
        shell = processes.start(
            ["/bin/sh", "-c", f"sh -c 'read x; : {marker}' < /dev/zero & wait"],
            tmp_path / "log",
            os.environ,
        )
        below = poll(lambda: descendants(shell.pid), bool, within_s=100)
        assert ["sh"] == list(below.values())
        assert {shell.pid, *below} == set(naming(marker))
        for pid in below:
            os.kill(pid, signal.SIGKILL)
    assert {} == naming(marker)
