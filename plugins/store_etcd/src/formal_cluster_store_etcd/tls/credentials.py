"""From certificate files to credentials that are known to work. Blocks: call it in a thread."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.settings import TlsSettings
from formal_cluster_store_etcd.tls.rehearsal import Certificate, rehearse

Fingerprint = tuple[tuple[int, int, int], ...]
"""What changes when a file does: inode, time of change, size."""

_SEE: Final = "See docs/tls.md for what the files must hold"
_MENDS: Final = {
    "certificate has expired": "Put a new certificate into its place, or a new authority if that "
    "is what has expired",
    "certificate is not yet valid": "Correct this machine's clock, or wait",
    "unsuitable certificate purpose": "It must be good for both servers and clients "
    "(extendedKeyUsage = serverAuth, clientAuth)",
}


class TlsUnusable(StoreError):
    """The files of `[store.etcd.tls]` cannot be used as they are."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the files hold, ready for use.

    Attributes:
        material: For gRPC.
        client: For asking others.
        server: For answering others; None without a certificate.
        expires_at: When the first of the files is of no more use, seconds since the Unix epoch.
        expiring: The file that is meant.
    """

    material: TlsMaterial
    client: ssl.SSLContext
    server: ssl.SSLContext | None
    expires_at: float
    expiring: Path


def fingerprint(files: TlsSettings) -> Fingerprint:
    """Tells one state of the files from another.

    Raises:
        TlsUnusable: One of them is missing.
    """
    found = []
    for name, path in _named(files):
        try:
            stat = path.stat()
        except OSError as error:
            _refuse_to_read(name, path, error)
        found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def load(files: TlsSettings, *, own_address: str | None) -> Credentials:
    """Read the files and rehearse their use.

    Args:
        own_address: Where others reach us, which the certificate must name. None: we are a client
            only, and it is for the server to say whom it trusts.

    Raises:
        TlsUnusable: They cannot be used; the message says which and why.
    """
    material = _read(files)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(client, files)
    _present(client, files)
    ca_expires_at = _expiry(client.get_ca_certs())
    if files.certificate is None:
        return Credentials(material, client, None, ca_expires_at, files.ca)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    _trust(server, files)
    _present(server, files)
    if own_address is None:
        own = _rehearsed(
            _trusting_only(files.certificate, files), _trusting_all(files), files, None
        )
    else:
        own = _rehearsed(server, client, files, own_address)
        issuers = [ca for ca in client.get_ca_certs() if ca["subject"] == own["issuer"]]
        ca_expires_at = _expiry(issuers)
    expires_at = _expiry([own])
    if ca_expires_at < expires_at:
        return Credentials(material, client, server, ca_expires_at, files.ca)
    return Credentials(material, client, server, expires_at, files.certificate)


def _named(files: TlsSettings) -> list[tuple[str, Path]]:
    named = (("ca", files.ca), ("certificate", files.certificate), ("key", files.key))
    return [(f"store.etcd.tls.{name}", path) for name, path in named if path is not None]


def _read(files: TlsSettings) -> TlsMaterial:
    content: list[bytes | None] = []
    for name, path in _named(files):
        try:
            content.append(path.read_bytes())
        except OSError as error:
            _refuse_to_read(name, path, error)
    ca, certificate, key = (*content, None, None)[:3]
    assert ca is not None
    return TlsMaterial(ca=ca, certificate=certificate, key=key)


def _refuse_to_read(name: str, path: Path, error: OSError) -> NoReturn:
    raise TlsUnusable(
        f"{name} {path} cannot be read: {error.strerror}. Put the file there, readable for this "
        "user, or correct the setting"
    ) from error


def _trust(context: ssl.SSLContext, files: TlsSettings) -> None:
    try:
        context.load_verify_locations(files.ca)
    except OSError as error:  # ssl.SSLError is one
        raise TlsUnusable(
            f"store.etcd.tls.ca {files.ca} holds no usable certificate ({error}). {_SEE}"
        ) from error


def _present(context: ssl.SSLContext, files: TlsSettings) -> None:
    if files.certificate is None:
        return
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsUnusable(
            f"store.etcd.tls.certificate {files.certificate} and store.etcd.tls.key {files.key} "
            f"are not a certificate and its own key ({error}). {_SEE}"
        ) from error


def _no_password() -> str:
    """Instead of a question on the terminal."""
    raise ValueError("the key is encrypted, which etcd cannot read")


def _trusting_only(certificate: Path, files: TlsSettings) -> ssl.SSLContext:
    """A server that accepts this one certificate, whoever has signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    _present(context, files)
    return context


def _trusting_all(files: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _present(context, files)
    return context


def _rehearsed(
    server: ssl.SSLContext, client: ssl.SSLContext, files: TlsSettings, address: str | None
) -> Certificate:
    """Our own certificate's fields, as the other side sees them."""
    try:
        of_server, of_client = rehearse(server, client, address)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        raise TlsUnusable(
            f"store.etcd.tls.certificate {files.certificate} would be refused by the others: "
            f"{why}. {_MENDS.get(why, _SEE)}"
        ) from error
    except ssl.SSLError as error:
        raise TlsUnusable(
            f"store.etcd.tls.certificate {files.certificate} does not work ({error}). {_SEE}"
        ) from error
    return of_server or of_client


def _expiry(certificates: Iterable[Certificate]) -> float:
    """When the last of them expires: of several authorities one is enough."""
    return max(
        (ssl.cert_time_to_seconds(certificate["notAfter"]) for certificate in certificates),
        default=float("inf"),
    )
