"""The status document: what an instance tells the others on the peer port while no etcd runs there.

`status_server` answers `GET /fc/v1/status` with it as JSON, `probe` asks for it.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage

PATH: Final = "/fc/v1/status"


class PeerStatus(BaseModel):
    """The document. Readers ignore fields they do not know.

    Attributes:
        has_data: Whether there may be data of a cluster here.
        intending: Whether it is about to found a cluster.
        consent: Whom it lets found the cluster; None also while it takes a consent back.
        last_error: Why its etcd does not run, if that is not as it should be.
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


def status_of(identity: Identity, last_error: str | None) -> PeerStatus:
    """What an instance with this identity tells the others."""
    return PeerStatus(
        instance=identity.instance,
        incarnation=identity.incarnation,
        has_data=identity.has_data,
        intending=identity.stage is Stage.INTENDING,
        cluster_id=identity.cluster_id,
        epoch=identity.epoch,
        consent=None if identity.withdrawing else identity.consent,
        last_error=last_error,
    )
