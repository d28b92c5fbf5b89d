"""The status document: what an instance tells the others on the peer port while no etcd runs there.

`status_server` answers `GET /fc/v1/status` with it as JSON, `probe` asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage, Vote

PATH: Final = "/fc/v1/status"


class PeerStatus(BaseModel):
    """The document. Readers ignore fields they do not know.

    Attributes:
        has_data: Whether there may be data of a cluster here.
        intending: Whether it is about to found a cluster.
        consent: Whom it lets found the cluster; None also while it takes a consent back.
        last_error: Why its etcd does not run, if that is not as it should be.
        member: Name of its etcd member; `peer_url` is where it is reached now.
        fence: The epoch it is fenced for, 0 if none; its etcd does not start on older data.
        vote: Whose copy it would have restored; None also while it takes its fence back.
        restoring: Whether it is about to restore its copy, or does so.
        presumed_dead: See `Identity`.
        voters: The voters it last saw; `voters_index` as in `Identity`.
        copy_held: The best copy of the data on its disk; None if there is none, or if it cannot be
            read: then `has_data` is true.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    instance: str
    incarnation: str
    has_data: bool
    intending: bool = False
    cluster_id: str | None = None
    epoch: int = 0
    consent: Consent | None = None
    last_error: str | None = None
    member: str = ""
    peer_url: str = ""
    fence: int = 0
    vote: Vote | None = None
    restoring: bool = False
    presumed_dead: int = 0
    voters: Mapping[str, str] = {}
    voters_index: int = 0
    copy_held: Copy | None = None

    @property
    def fenced_for(self) -> int:
        """The epoch that its fence is good for; 0 if it has none."""
        return self.fence if self.fence > self.epoch else 0


def status_of(
    identity: Identity,
    last_error: str | None,
    *,
    copy_held: Copy | None = None,
    peer_url: str | None = None,
) -> PeerStatus:
    """What an instance with this identity tells the others.

    Args:
        peer_url: Where it is reached now, if that is not where its member was.
    """
    return PeerStatus(
        instance=identity.instance,
        incarnation=identity.incarnation,
        has_data=identity.has_data,
        intending=identity.stage is Stage.INTENDING,
        cluster_id=identity.cluster_id,
        epoch=identity.epoch,
        consent=None if identity.withdrawing else identity.consent,
        last_error=last_error,
        member=identity.member,
        peer_url=peer_url or identity.peer_url,
        fence=0 if identity.lifting else identity.fence,
        vote=None if identity.lifting else identity.vote,
        restoring=identity.intends_restore or identity.stage is Stage.RESTORING,
        presumed_dead=identity.presumed_dead,
        voters=identity.voters,
        voters_index=identity.voters_index,
        copy_held=copy_held,
    )
