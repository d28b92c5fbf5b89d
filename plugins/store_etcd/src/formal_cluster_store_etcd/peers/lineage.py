"""Writes the lineage into the store of a cluster that was just founded or restored."""

from __future__ import annotations

from pydantic import ValidationError

from formal_cluster.model import Entry
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.planning.lineage import KEY, Ancestor, Lineage
from formal_cluster_store_etcd.urls import Endpoint


async def write_lineage(
    where: Endpoint,
    cluster_id: str,
    *,
    epoch: int,
    founder: str,
    now: float,
    tls: TlsMaterial | None,
) -> Lineage:
    """Write it, unless it is there already; what is there in the end.

    What a restored cluster has there tells of the one it was restored from: its first ancestor.

    Args:
        cluster_id: Of the cluster at `where`, hexadecimal.
        now: Seconds since the Unix epoch.

    Raises:
        StoreError: It was not written, or it is not known whether it was; try again.
    """
    client = EtcdClient([where], tls=tls)
    try:
        entry = await client.get(KEY)
        before = parse_lineage(entry.value) if entry is not None else None
        if before is not None and before.cluster_id == cluster_id:
            return before
        lineage = Lineage(
            epoch=epoch,
            cluster_id=cluster_id,
            ancestors=_with_parent(before),
            founded_at=now,
            founder=founder,
        )
        await client.put(KEY, lineage.model_dump_json().encode(), if_revision=_revision(entry))
        return lineage
    finally:
        await client.aclose()


def parse_lineage(value: bytes) -> Lineage | None:
    """Read the key's value; None if it is of another format."""
    try:
        return Lineage.model_validate_json(value)
    except ValidationError:
        return None


def _with_parent(before: Lineage | None) -> tuple[Ancestor, ...]:
    if before is None:
        return ()
    return *before.ancestors, Ancestor(epoch=before.epoch, cluster_id=before.cluster_id)


def _revision(entry: Entry | None) -> int:
    return 0 if entry is None else entry.revision
