"""Whether a driver of formal-cluster may be trusted, and real counterparts for testing drivers.

A driver's author writes one declaration (`declaration`) and gets everything else: see
`docs/conformance.md`.
"""

from formal_cluster_conformance.declaration import (
    Address,
    Backing,
    Fault,
    Node,
    NotPossible,
    StoreDeclaration,
)
from formal_cluster_conformance.nodes import NodeFailed, ProcessNode, free_port, free_ports
from formal_cluster_conformance.proxy import TcpProxy

__all__ = [
    "Address",
    "Backing",
    "Fault",
    "Node",
    "NodeFailed",
    "NotPossible",
    "ProcessNode",
    "StoreDeclaration",
    "TcpProxy",
    "free_port",
    "free_ports",
]
