"""Who this instance's member is, kept beside its data: what must survive a restart.

The file is replaced atomically and synced before anything that depends on it is shown to others or
done: `formation` explains why that makes a second cluster impossible.
"""

from __future__ import annotations

import enum
import os
import secrets
from collections.abc import Callable
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from formal_cluster_store_etcd.data_dir import DataDir, unusable
from formal_cluster_store_etcd.failures import CannotStart
from formal_cluster_store_etcd.names import member_name

_FILE: Final = "formal-cluster.json"


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
    def fresh(cls, instance: str, peer_url: str, *, draw: Callable[[], str] | None = None) -> Self:
        """The identity of an instance whose directory is empty."""
        incarnation = (draw or _draw)()
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

    def renewed(self, peer_url: str, *, draw: Callable[[], str] | None = None) -> Identity:
        """This instance without its data: a new member, that remembers cluster and consent."""
        return Identity.fresh(self.instance, peer_url, draw=draw).model_copy(
            update={
                "cluster_id": self.cluster_id,
                "epoch": self.epoch,
                "consent": self.consent,
                "withdrawing": self.withdrawing,
            }
        )


def load(directory: DataDir, instance: str, peer_url: str) -> Identity:
    """Read the identity, or make one for an empty directory; `save` it before it is used.

    A directory that was another instance's (a kept volume, mounted by a new task or pod) keeps its
    member and goes on under the new instance's id.

    Raises:
        CannotStart: The file cannot be read, or the directory holds data of unknown origin.
    """
    path = directory.path / _FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if directory.has_data:
            raise CannotStart(
                f"{directory.path} holds etcd data but no {_FILE}: it is not known which cluster "
                f"the data belongs to. Move {directory.path / 'member'} away, or set "
                "store.etcd.data_dir to another directory"
            ) from None
        return Identity.fresh(instance, peer_url)
    except OSError as error:
        raise unusable(directory.path, error) from error
    try:
        identity = Identity.model_validate_json(text)
    except ValidationError as error:
        raise CannotStart(
            f"{path} is damaged or of another version ({error.error_count()} errors, the first: "
            f"{error.errors()[0]['msg']}). If the other instances run, move everything in "
            f"{directory.path} away and this instance joins them anew"
        ) from error
    identity = identity.model_copy(update={"instance": instance})
    if identity.stage is Stage.MEMBER and not directory.has_data:
        return identity.renewed(peer_url)
    if identity.has_data:
        return identity
    name = member_name(instance, identity.incarnation)
    return identity.model_copy(update={"peer_url": peer_url, "member": name})


def save(directory: DataDir, identity: Identity) -> None:
    """Write the identity so that it survives a crash at any moment. Blocks: call it in a thread.

    Raises:
        CannotStart: It could not be written.
    """
    path = directory.path / _FILE
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(identity.model_dump_json(indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        parent = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise unusable(directory.path, error) from error


def _draw() -> str:
    return secrets.token_hex(4)
