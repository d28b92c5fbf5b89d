"""Keeps the credentials current: read anew when their files change, the last good ones kept when
the new ones are no good.

etcd itself reads its certificate and key again at each handshake, and the authorities when it
starts. Files that are being replaced are seen half-written now and then: that is a warning, and the
next look mends it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.settings import TlsSettings
from formal_cluster_store_etcd.tls.credentials import (
    Credentials,
    Fingerprint,
    TlsUnusable,
    fingerprint,
    load,
)

_LOOK_S: Final = 2.0
_DAY_S: Final = 86_400
_WARN_BEFORE_S: Final = 14 * _DAY_S


class Connecting(Protocol):
    """What makes gRPC connections."""

    def set_tls(self, tls: TlsMaterial) -> None:
        """Connect with this from now on."""


class CredentialsKeeper:
    """The credentials of one process.

    Args:
        own_address: See `credentials.load`.
        connecting: Told what to connect with, at first and whenever it changes.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        files: TlsSettings,
        *,
        own_address: str | None,
        connecting: Sequence[Connecting],
        logger: logging.Logger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._own_address = own_address
        self._connecting = connecting
        self._logger = logger
        self._clock = clock
        self._current: Credentials | None = None
        self._read_at: Fingerprint | None = None
        self._unusable: TlsUnusable | None = None
        self._told: tuple[str, ...] = ()

    @property
    def material(self) -> TlsMaterial:
        """The same for gRPC. Likewise."""
        assert self._current is not None
        return self._current.material

    @property
    def client(self) -> ssl.SSLContext:
        """For asking others. Only after `renew` has succeeded once."""
        assert self._current is not None
        return self._current.client

    @property
    def server(self) -> ssl.SSLContext:
        """For answering others; it goes with the files by itself. Likewise."""
        assert self._current is not None
        assert self._current.server is not None
        return self._current.server

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the files, or will soon be."""
        if self._current is None:
            return ()
        if self._unusable is not None:
            return (f"{self._unusable}. Until then the files read before are used",)
        left_s = self._current.expires_at - self._clock()
        if left_s > _WARN_BEFORE_S:
            return ()
        end = f"expires in {left_s / _DAY_S:.0f} days" if left_s > 0 else "has expired"
        warning = (
            f"{self._current.expiring} {end}. Put a new one into its place; no restart is needed, "
            "except for a new authority (docs/tls.md)"
        )
        return (warning,)

    @property
    def _has_expired(self) -> bool:
        return self._current is not None and self._current.expires_at <= self._clock()

    async def renew(self) -> None:
        """Read the files, unless they are unchanged and good.

        Raises:
            TlsUnusable: They cannot be used now. Credentials read before stay in use.
        """
        try:
            seen = await asyncio.to_thread(fingerprint, self._files)
            if seen == self._read_at and not self._has_expired:
                self._unusable = None
                return
            found = await asyncio.to_thread(load, self._files, own_address=self._own_address)
            if seen != await asyncio.to_thread(fingerprint, self._files):
                raise TlsUnusable(
                    f"the files of store.etcd.tls ({self._files.ca}, …) are just being replaced"
                )
        except TlsUnusable as error:
            self._unusable = error
            raise
        self._unusable = None
        self._read_at = seen
        self._use(found)

    async def run(self) -> None:
        """Look at the files every few seconds until cancelled."""
        while True:
            try:
                await self.renew()
            except TlsUnusable as error:
                self._logger.debug("TLS files", extra={"reason": str(error)})
            for warning in self.warnings:
                if warning not in self._told:
                    self._logger.warning("TLS", extra={"warning": warning})
            self._told = self.warnings
            await asyncio.sleep(_LOOK_S)

    def _use(self, found: Credentials) -> None:
        if found.server is not None:
            found.server.sni_callback = self._present_newest
        is_first = self._current is None
        self._current = found
        for user in self._connecting:
            user.set_tls(found.material)
        if not is_first:
            self._logger.info("TLS files were read anew", extra={"expires_at": found.expires_at})

    def _present_newest(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: object
    ) -> None:
        """At each handshake, also of a server that was started before the files changed."""
        connection.context = self.server
