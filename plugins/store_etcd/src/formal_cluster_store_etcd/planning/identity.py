"""Who this instance's member is, which must survive a restart. `identity_file` keeps it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
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
    RESTORING = "restoring"
    """It is making the first member of a new cluster from the data in `source`."""


class Consent(BaseModel):
    """Whom an instance would let found the cluster. `incarnation` is what counts."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    incarnation: str


class Vote(BaseModel):
    """Whose copy of the data an instance would let be restored, as the cluster of that epoch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
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
        founded_at: When `cluster_id` was founded, as its lineage says.
        voters: The voters last seen in `cluster_id`: names and peer URLs.
        voters_index: Log entry up to which the member had come that listed them, at least; 0 if
            that is not known. The larger, the newer the list.
        fence: The epoch this instance is fenced for, see `recovery`; 0 if it never was.
        vote: Whose copy it would have restored; at most one for an epoch.
        intends_restore: Whether it is about to restore its copy if the votes still stand.
        lifting: Whether it is taking the fence back. Then neither fence nor vote count.
        presumed_dead: The epoch for which an operator has vouched that whoever does not answer is
            dead; 0 if none has.
        source: The directory whose data is, or was, restored; until its etcd serves again.
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
    founded_at: float | None = None
    voters: Mapping[str, str] = {}
    voters_index: int = 0
    fence: int = 0
    vote: Vote | None = None
    intends_restore: bool = False
    lifting: bool = False
    presumed_dead: int = 0
    source: str | None = None

    @property
    def has_data(self) -> bool:
        """Whether there may be data of a cluster in the directory."""
        return self.stage in (Stage.FOUNDING, Stage.MEMBER, Stage.RESTORING)

    @property
    def fenced(self) -> bool:
        """Whether its etcd must not be started on the data it has."""
        return self.fence > self.epoch

    @classmethod
    def fresh(cls, instance: str, peer_url: str, incarnation: str) -> Self:
        """The identity of an instance whose directory is empty."""
        return cls(
            instance=instance,
            incarnation=incarnation,
            member=member_name(instance, incarnation),
            peer_url=peer_url,
        )

    def in_cluster(
        self, cluster_id: str, *, epoch: int = 0, founded_at: float | None = None
    ) -> Identity:
        """This instance as a member of the cluster in which its etcd serves."""
        return self.model_copy(
            update={
                "stage": Stage.MEMBER,
                "cluster_id": cluster_id,
                "epoch": max(epoch, self.epoch, 1),
                "founded_at": founded_at if founded_at is not None else self.founded_at,
                "source": None,
            }
        )

    def renewed(self, peer_url: str, incarnation: str) -> Identity:
        """This instance without its data: a new member, that remembers all else."""
        return self.model_copy(
            update={
                "incarnation": incarnation,
                "member": member_name(self.instance, incarnation),
                "stage": Stage.UNFORMED,
                "peer_url": peer_url,
                "voters": {},
                "voters_index": 0,
                "intends_restore": False,
                "source": None,
            }
        )
