"""Listening on our addresses, and whether that is possible."""

from __future__ import annotations

import socket

from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.urls import Endpoint


def listen(where: Endpoint) -> socket.socket:
    """A listening socket.

    Raises:
        CannotStart: Something else listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        return socket.create_server((where.host, where.port), family=family)
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {where}: {error.strerror}. End the program that uses the port, or "
            "see store.etcd.client_port, store.etcd.peer_port and store.etcd.listen_address"
        ) from error


def ensure_free(where: Endpoint) -> None:
    """Make sure that etcd could listen there now.

    Raises:
        CannotStart: It could not.
    """
    listen(where).close()
