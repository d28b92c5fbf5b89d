"""A TLS handshake with ourselves, in memory: whether a certificate would be accepted, before anyone
relies on it. No I/O.

It finds out at once what would otherwise be a lost connection somewhere else: an expired or foreign
certificate, a key that does not belong to it, an address that it does not name, a purpose that it
is not good for. It is also the only public way in Python's `ssl` to read a certificate's dates.
"""

from __future__ import annotations

import ssl
from typing import Any, TypeAlias

Certificate: TypeAlias = dict[str, Any]
"""A certificate's fields, as `ssl.SSLSocket.getpeercert` gives them."""


def rehearse(
    server: ssl.SSLContext, client: ssl.SSLContext, server_hostname: str | None
) -> tuple[Certificate, Certificate]:
    """The certificates that the server and the client showed; empty for one that nobody verified.

    Raises:
        ssl.SSLCertVerificationError: One of the two refuses the other's certificate.
        ssl.SSLError: They cannot agree.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname=server_hostname)
    unfinished = [asking, serving]
    while unfinished:
        for side in tuple(unfinished):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            unfinished.remove(side)
    return asking.getpeercert() or {}, serving.getpeercert() or {}
