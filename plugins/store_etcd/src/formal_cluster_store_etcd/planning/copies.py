"""The copy of the data that an instance could offer for a restoration. Pure values."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from formal_cluster_store_etcd.planning.lineage import Rank, rank
from formal_cluster_store_etcd.planning.log_position import LogPosition

Merit: TypeAlias = tuple[Rank, LogPosition]


class Copy(BaseModel):
    """The best copy on an instance's disk: its member's data, or data set aside.

    Attributes:
        epoch: Of the cluster it is of; likewise `cluster_id` and `founded_at`.
        term: Term and `index` of the last entry in its log; an index of 0 means that there is
            nothing in it, for example because a learner has received nothing yet.
        directory: Where it is, relative to the data directory.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
    cluster_id: str | None
    founded_at: float | None
    term: int
    index: int
    directory: str

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return self.index == 0

    @property
    def merit(self) -> Merit:
        """The larger, the more advanced. Positions of different clusters are not comparable, so
        the cluster comes first."""
        cluster = rank(self.epoch, self.founded_at, self.cluster_id)
        return cluster, LogPosition(self.term, self.index)
