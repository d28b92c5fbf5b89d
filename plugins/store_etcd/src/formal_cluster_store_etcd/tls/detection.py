"""Tells an instance that is there, with other certificates or another idea of TLS, from silence.

While TLS is being switched on, or the authority replaced, instances cannot read each other's
answers. Those that cannot be read may well have a cluster: they must not count as gone.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import aiohttp

from formal_cluster_store_etcd.urls import endpoint_of

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
_ANSWER_S: Final = 1.5
_MEND: Final = "set store.etcd.tls on all instances or on none, with certificates of one authority"


async def other_security(error: BaseException, url: str, *, by_tls: bool) -> str | None:
    """Why somebody at `url` did not answer us although he is there; None if he may not be.

    Args:
        error: What the request ended with.
        by_tls: Whether we asked by TLS.
    """
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return f"{url} answers, but {_describe(cause)}: {_MEND}"
    if isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        return None
    if await _speaks_tls(url):
        wants = "another certificate than ours" if by_tls else "TLS"
        return f"{url} answers, but hangs up: it may want {wants}. {_MEND.capitalize()}"
    return None


def _describe(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"with a certificate that is not trusted here ({error.verify_message})"
    return "without TLS" if error.reason in _NOT_TLS else f"TLS fails ({error})"


async def _speaks_tls(url: str) -> bool:
    """Begin a handshake, trusting anyone and sending nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = endpoint_of(url)
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, writer = await asyncio.open_connection(where.host, where.port, ssl=context)
    except ssl.SSLError as error:
        return error.reason not in _NOT_TLS and not isinstance(error, ssl.SSLEOFError)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
