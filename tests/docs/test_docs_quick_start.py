"""A newcomer's walk: the quick start, followed to the letter in an empty directory.

What is written under a title becomes that file; what is in a `sh` block is run. Two things differ,
since the test does not have the machine to itself: the packages are there already, so the
installation is only looked at, and all ports are free ones (8181 in the page's URLs is replaced).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from formal_cluster_conformance import free_ports
from formal_cluster_store_etcd.member import launcher

PAGE = Path(__file__).parents[2] / "docs" / "quick-start.md"
PORT_IN_PAGE = "8181"
OUTPUT = "output"


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """Free ports, and `formal-cluster` on PATH as the installation puts it there.

    The ports are none of those that the kernel gives to others meanwhile.
    """
    program = tmp_path / "bin" / "formal-cluster"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m formal_cluster "$@"\n')
    program.chmod(0o755)
    ports = [str(port) for port in free_ports(3)]
    return {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "FORMAL_CLUSTER_STORE__ETCD__CLIENT_PORT": ports[0],
        "FORMAL_CLUSTER_STORE__ETCD__PEER_PORT": ports[1],
        "FORMAL_CLUSTER_SERVER__PORT": ports[2],
    }


@contextlib.contextmanager
def serving(command: str, directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run the page's server while the context lasts; it ends with the test run in any case."""
    launch = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"]
    with (directory / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [*launch, "/bin/sh", "-c", f"exec {command}"],
            cwd=directory,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield
        server.terminate()
        assert 0 == server.wait(timeout=120)
    finally:
        server.kill()
        server.wait()


def same(expected: str, actual: str) -> bool:
    """Whether an output is the page's; … stands for anything."""
    pattern = ".*".join(re.escape(piece) for piece in expected.strip().split("…"))
    return re.fullmatch(pattern, actual.strip()) is not None


@pytest.mark.etcd
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_quick_start_ends_with_a_block(blocks_of, tmp_path, environment):
    directory = tmp_path / "clean"
    directory.mkdir()
    outputs: list[str] = []
    shown: list[str] = []
    with contextlib.ExitStack() as running:
        for block in blocks_of(PAGE):
            if block.title == OUTPUT:
                assert same(block.text, outputs[-1]), f"{block.place}: it is {outputs[-1]!r}"
                shown.append(block.text)
            elif block.title is not None:
                file = directory / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            elif "pip install" in block.text:
                assert "pip install 'formal-cluster[etcd]'" in block.text
            elif block.text.startswith("formal-cluster serve"):
                running.enter_context(serving(block.text.strip(), directory, environment))
            else:
                assert "sh" == block.language
                text = block.text.replace(
                    f":{PORT_IN_PAGE}/", f":{environment['FORMAL_CLUSTER_SERVER__PORT']}/"
                )
                done = subprocess.run(
                    ["sh", "-e", "-c", text],
                    cwd=directory,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=200,
                    check=False,
                )
                assert 0 == done.returncode, f"{block.place}: {done.stdout}{done.stderr}"
                outputs.append(done.stdout)
    assert 2 == len(shown)
    last = json.loads(outputs[-1].strip().splitlines()[-1])
    assert "block" == last["result"]["action"]
