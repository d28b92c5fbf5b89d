"""Lineage: which cluster a cluster was restored from, and which of two is to stay. Pure.

A cluster's founder writes it to one key of the store as the first thing it does there. While the
key is missing, or still tells of the cluster that the data was restored from, nobody else becomes a
member: so whoever holds data of a cluster knows its epoch.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

KEY: Final = b"/formal-cluster-members/lineage"


class Ancestor(BaseModel):
    """A cluster that the present one goes back to."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
    cluster_id: str


class Lineage(BaseModel):
    """The key's value. Readers ignore fields they do not know.

    Attributes:
        epoch: 1 for a new cluster; grows with each restoration, not always by one.
        cluster_id: Of the cluster that it was written in, hexadecimal.
        ancestors: The clusters it was restored from, oldest first.
        founded_at: By the founder's clock, seconds since the Unix epoch.
        founder: The founder's instance id.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    epoch: int
    cluster_id: str
    ancestors: tuple[Ancestor, ...] = ()
    founded_at: float
    founder: str

    @property
    def rank(self) -> Rank:
        """For comparison with another cluster's."""
        return rank(self.epoch, self.founded_at, self.cluster_id)

    def descends_from(self, cluster_id: str | None) -> bool:
        """Whether this cluster was restored from that one."""
        return any(ancestor.cluster_id == cluster_id for ancestor in self.ancestors)


Rank = tuple[int, float, int]


def rank(epoch: int, founded_at: float | None, cluster_id: str | None) -> Rank:
    """Orders clusters: of two that meet, the one with the larger rank stays.

    That is the one of the later epoch, else the one founded earlier, else the smaller id.
    """
    return (
        epoch,
        float("-inf") if founded_at is None else -founded_at,
        0 if cluster_id is None else -int(cluster_id, 16),
    )
