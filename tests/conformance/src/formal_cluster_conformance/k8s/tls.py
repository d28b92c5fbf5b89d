"""A certificate authority of a test's own, and a server certificate for loopback by it.

Made with the `openssl` program, which is nearly everywhere: Python's library cannot make any.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

_EXTENSIONS = """\
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1,IP:::1,DNS:localhost
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def is_available() -> bool:
    """Whether certificates can be made here."""
    return shutil.which("openssl") is not None


def make_server_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A context for a server on loopback, and the file of the authority to trust.

    Raises:
        RuntimeError: There is no `openssl` program, or it fails.
    """
    if not is_available():
        raise RuntimeError("no `openssl` program on PATH; install it, or serve plain HTTP")
    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    certificate, key, request = (directory / f"server.{end}" for end in ("crt", "key", "csr"))
    extensions = directory / "server.ext"
    extensions.write_text(_EXTENSIONS)
    _openssl(
        *("req", "-x509", *_KEY, "-keyout", ca_key, "-out", ca, "-days", "2"),
        *("-subj", "/CN=formal-cluster test authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    _openssl("req", "-new", *_KEY, "-keyout", key, "-out", request, "-subj", "/CN=kubernetes")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"),
        *("-out", certificate, "-days", "2", "-extfile", extensions),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, ca


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode().strip()}")
