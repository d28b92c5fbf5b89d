"""A certificate authority of the run's own, made with the `openssl` program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_EXTENSIONS = """\
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = IP:{address},IP:127.0.0.1
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
"""


class Authority:
    """Issues a certificate to each instance, for both of its ports.

    Attributes:
        ca: The file of the certificate to trust.
    """

    def __init__(self, ca: Path, key: Path) -> None:
        self.ca = ca
        self._key = key

    @classmethod
    def make(cls, directory: Path) -> Self:
        """A new authority, with its files in `directory`."""
        ca, key = directory / "ca.crt", directory / "ca.key"
        _openssl(
            *("req", "-x509", *_KEY, "-keyout", key, "-out", ca, "-days", "2"),
            *("-subj", "/CN=formal-cluster failover authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        return cls(ca, key)

    def issue(self, address: str, directory: Path) -> tuple[Path, Path]:
        """A certificate for that address, and its key; the files are in `directory`."""
        certificate, key = directory / f"{address}.crt", directory / f"{address}.key"
        request, extensions = directory / "request.csr", directory / "extensions"
        extensions.write_text(_EXTENSIONS.format(address=address))
        _openssl("req", "-new", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={address}")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions),
        )
        return certificate, key


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")
