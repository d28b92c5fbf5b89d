import socket

import pytest

from formal_cluster.discovery.local_address import is_local


def test_a_loopback_address_belongs_to_this_machine():
    assert is_local("127.0.0.1")


@pytest.mark.parametrize(
    "address", ["198.51.100.7", "2001:db8::7", "fe80::7", "fe80::7%no-such-if"]
)
def test_an_address_of_another_machine_does_not(address):
    assert not is_local(address)


def test_the_machines_own_host_name_belongs_to_it_in_any_spelling():
    assert is_local(f"{socket.gethostname().upper()}.")


def test_another_host_name_does_not_and_is_not_looked_up():
    assert not is_local("connector-7.invalid")
