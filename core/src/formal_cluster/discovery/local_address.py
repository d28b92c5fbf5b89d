"""Whether an address belongs to this machine, found out without sending a packet.

Only an address of the machine can be bound to, so binding tells. Two cases it cannot see through:
behind NAT the address that the others use is not on the machine, and with the kernel setting
`ip_nonlocal_bind` every address seems to be. In both the operator has to name the instance.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

_NOT_OURS = {
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,  # a machine without IPv6
    errno.EINVAL,  # a link-local IPv6 address without its interface
    socket.EAI_NONAME,  # … or with an interface that is not here
}


def is_local(address: str) -> bool:
    """Whether `address` is an IP address of this machine, or its own host name.

    Host names are only compared with the machine's: resolving them would mean asking the network.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return _folded(address) == _folded(socket.gethostname())
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in _NOT_OURS:
            return False
        raise
    return True


def _folded(host: str) -> str:
    return host.rstrip(".").lower()
