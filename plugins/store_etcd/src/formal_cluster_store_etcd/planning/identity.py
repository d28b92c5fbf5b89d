"""Who this instance's member is, which must survive a restart. `identity_file` keeps it."""

from __future__ import annotations

import enum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from formal_cluster_store_etcd.names import member_name


class Stage(enum.StrEnum):
    """How far this instance has come towards being a member."""

    UNFORMED = "unformed"
    """It has no data."""
    INTENDING = "intending"
    """It is about to found the cluster if those who consented still do. It has no data."""
    FOUNDING = "founding"
    """Its etcd has been, or is just being, started as the first member of a new cluster."""
    MEMBER = "member"
    """Its etcd has been, or is just being, started as a member of `cluster_id`."""


class Consent(BaseModel):
    """Whom an instance would let found the cluster. `incarnation` is what counts."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    incarnation: str


class Identity(BaseModel):
    """The content of the file.

    Attributes:
        instance: Id of the instance that this directory belongs to.
        incarnation: Random, new whenever the directory starts out without data.
        member: Name of its etcd member.
        cluster_id: The cluster it belongs to, or last knew of; hexadecimal.
        epoch: How many times that cluster has been founded: 1 until it is ever restored.
        consent: Whom it consented to; at most one.
        withdrawing: Whether it is taking the consent back. Then the consent does not count, and
            none is given to anyone else either.
        peer_url: Where its member is reached by the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    instance: str
    incarnation: str
    member: str
    stage: Stage = Stage.UNFORMED
    cluster_id: str | None = None
    epoch: int = 0
    consent: Consent | None = None
    withdrawing: bool = False
    peer_url: str

    @property
    def has_data(self) -> bool:
        """Whether there may be data of a cluster in the directory."""
        return self.stage in (Stage.FOUNDING, Stage.MEMBER)

    @classmethod
    def fresh(cls, instance: str, peer_url: str, incarnation: str) -> Self:
        """The identity of an instance whose directory is empty."""
        return cls(
            instance=instance,
            incarnation=incarnation,
            member=member_name(instance, incarnation),
            peer_url=peer_url,
        )

    def in_cluster(self, cluster_id: str) -> Identity:
        """This instance as a member of a cluster."""
        known = {"stage": Stage.MEMBER, "cluster_id": cluster_id, "epoch": max(self.epoch, 1)}
        return self.model_copy(update=known)

    def renewed(self, peer_url: str, incarnation: str) -> Identity:
        """This instance without its data: a new member, that remembers cluster and consent."""
        return Identity.fresh(self.instance, peer_url, incarnation).model_copy(
            update={
                "cluster_id": self.cluster_id,
                "epoch": self.epoch,
                "consent": self.consent,
                "withdrawing": self.withdrawing,
            }
        )
