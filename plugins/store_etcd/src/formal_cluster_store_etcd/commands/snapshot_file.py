"""Saves a snapshot so that the file is either complete and on disk, or not there."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.client.snapshots import Snapshot, fetch_snapshot
from formal_cluster_store_etcd.urls import Endpoint


class NotSaved(StoreError):
    """The file could not be written."""


async def save_to(
    file: Path, endpoint: Callable[[], Awaitable[Endpoint]], tls: TlsMaterial | None
) -> Snapshot:
    """Fetch a snapshot into `file`. This user alone may read it.

    Raises:
        NotSaved: The file cannot be written; as it was before.
        StoreError: The etcd gave no snapshot; likewise.
    """
    where = await endpoint()
    part = file.with_name(f".{file.name}.part")
    try:
        try:
            with open(part, "wb", opener=_private) as opened:  # noqa: ASYNC230  nothing else runs
                made = await fetch_snapshot(where, opened, tls)
                opened.flush()
                os.fsync(opened.fileno())
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise NotSaved(f"{file} cannot be written: {error.strerror}") from error
    return made


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
