"""Fetches a snapshot: all of a running member's data, at one revision, as a file that can be
restored.

A voter gives one without a quorum as well, and a learner from etcd 3.5 on. What is sent ends with
the SHA-256 of all before it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO, Final

from formal_cluster.errors import StoreError, Unavailable
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.outcome import outcome
from formal_cluster_store_etcd.urls import Endpoint

_SILENT_S: Final = 30.0
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_PAGE: Final = 512
_CHUNK: Final = 1 << 20


class SnapshotDamaged(StoreError):
    """What was read is not a whole snapshot."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was fetched.

    Attributes:
        revision: Every change up to and including it is in the snapshot; later ones may be.
        size: Bytes.
        sha256: Of the whole file, hexadecimal.
    """

    revision: int
    size: int
    sha256: str


async def fetch_snapshot(
    endpoint: Endpoint, into: BinaryIO, tls: rpc.TlsMaterial | None = None
) -> Snapshot:
    """Write a member's snapshot into a file, which is not synced.

    Raises:
        Unavailable: The member did not answer, or stopped sending.
        SnapshotDamaged: What arrived is not what the member meant to send.
    """
    revision = (await ClusterApi(tls).status(endpoint)).revision
    check, whole, size = _Check(), hashlib.sha256(), 0
    async with aclosing(_blobs(endpoint, tls)) as blobs:
        async for blob in blobs:
            into.write(blob)
            check.feed(blob)
            whole.update(blob)
            size += len(blob)
    if not check.holds:
        raise SnapshotDamaged(
            f"the snapshot from etcd at {endpoint} was damaged on the way or is incomplete; "
            "try again"
        )
    return Snapshot(revision, size, whole.hexdigest())


def check_snapshot(file: BinaryIO, name: str) -> None:
    """Read a snapshot to its end. Blocks: call it in a thread.

    Raises:
        SnapshotDamaged: It is none, or was changed since it was saved.
    """
    check, size = _Check(), 0
    while blob := file.read(_CHUNK):
        check.feed(blob)
        size += len(blob)
    if size % _PAGE != _DIGEST_BYTES or not check.holds:
        raise SnapshotDamaged(
            f"{name} is not a snapshot that `formal-cluster snapshot save` or `etcdctl snapshot "
            "save` has made, or it was damaged since: its checksum does not match. Use another one"
        )


class _Check:
    """Compares what is fed to it with the digest that its last bytes are."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._end = b""

    def feed(self, blob: bytes) -> None:
        seen = self._end + blob
        self._digest.update(seen[:-_DIGEST_BYTES])
        self._end = seen[-_DIGEST_BYTES:]

    @property
    def holds(self) -> bool:
        return self._digest.digest() == self._end


async def _blobs(endpoint: Endpoint, tls: rpc.TlsMaterial | None) -> AsyncGenerator[bytes, None]:
    where = str(endpoint)
    channel = rpc.open_channel(where, tls)
    try:
        with outcome(where, write=False):
            call = rpc.MaintenanceStub(channel).Snapshot(rpc.SnapshotRequest())
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    with outcome(where, write=False):
                        response = await call.read()
            except TimeoutError as error:
                raise Unavailable(
                    f"etcd at {where} has sent nothing of its snapshot for {_SILENT_S:.0f} s"
                ) from error
            if response is rpc.EOF:
                return
            yield response.blob
    finally:
        await channel.close()
