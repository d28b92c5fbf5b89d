"""What is missing is said before anything is started, with the mend."""

from __future__ import annotations

import os
import random
import socket

import pytest

from formal_cluster_demo import preconditions

NETWORK = f"127.{random.randint(18, 254)}.{random.randint(0, 255)}"
FREE = tuple(f"{NETWORK}.{number}" for number in (1, 2, 3))


@pytest.fixture
def with_etcd(tmp_path, monkeypatch):
    (tmp_path / "etcd").write_text("#!/bin/sh\n")
    (tmp_path / "etcd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_machine_with_etcd_and_free_ports_has_no_problem(with_etcd):
    assert [] == preconditions.problems(FREE)


def test_a_missing_etcd_is_named_with_the_package_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("formal_cluster_store_etcd.member.binary._USUAL_DIRECTORIES", ())
    (problem,) = preconditions.problems(FREE)
    assert "no etcd program" in problem
    assert "etcd-server" in problem


@pytest.mark.parametrize("port", preconditions.ETCD_PORTS)
def test_a_taken_port_is_named_with_the_process_that_holds_it(with_etcd, port):
    with socket.create_server((FREE[1], port)):
        (problem,) = preconditions.problems(FREE)
    assert f"{FREE[1]} port {port}" in problem
    assert f"(pid {os.getpid()})" in problem
    assert "--addresses" in problem


def test_a_port_taken_on_all_addresses_is_seen_on_each(with_etcd):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", 0))
        server.listen()
        port = server.getsockname()[1]
        assert f"(pid {os.getpid()})" in str(preconditions.holder_of(FREE[2], port))


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (("127.0.0.1", "127.0.0.1", "127.0.0.2"), "three different addresses"),
        (("127.0.0.1",), "three different addresses"),
        (("localhost", *FREE[1:]), "'localhost' is not an IPv4 address"),
        (("192.0.2.1", *FREE[1:]), "192.0.2.1 is not a loopback address"),
    ],
)
def test_unsuitable_addresses_are_refused(with_etcd, addresses, said):
    (problem,) = preconditions.problems(addresses)
    assert said in problem
