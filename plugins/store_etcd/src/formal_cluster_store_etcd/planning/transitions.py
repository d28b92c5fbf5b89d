"""What becomes of an instance's identity when it takes a step. Pure.

The new identity is persisted first, then shown to the others, then acted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.steps import (
    Fence,
    Found,
    GiveConsent,
    GiveVote,
    Intend,
    IntendRestore,
    Join,
    LiftFence,
    Restore,
    Retract,
    RetractRestore,
    Start,
    Step,
    Unfence,
    WithdrawConsent,
)

_UNFENCED: Final[Mapping[str, object]] = {
    "fence": 0,
    "vote": None,
    "intends_restore": False,
    "lifting": False,
    "presumed_dead": 0,
}
_FIRST: Final[Mapping[str, object]] = {"cluster_id": None, "founded_at": None}


def identity_after(step: Step, own: Identity) -> Identity:
    """The identity to persist, and then to show, when a step is taken."""
    return own.model_copy(update=dict(_changes(step, own) or _changes_of_fence(step, own)))


def restored(own: Identity, peer_url: str) -> Identity:
    """The identity when the restored data is in its place: as a founder's, with the data there."""
    return own.model_copy(
        update={
            "stage": Stage.FOUNDING,
            **_FIRST,
            "peer_url": peer_url,
            "voters": {own.member: peer_url},
            "voters_index": 0,
        }
    )


def _changes(step: Step, own: Identity) -> Mapping[str, object]:
    match step:
        case GiveConsent():
            return {"consent": step.consent, "withdrawing": False}
        case WithdrawConsent():
            return {"withdrawing": True}
        case Intend():
            return {"stage": Stage.INTENDING}
        case Retract():
            return {"stage": Stage.UNFORMED}
        case Found():
            founding = {"stage": Stage.FOUNDING, "epoch": step.epoch}
            return {
                **_UNFENCED,
                **founding,
                **_FIRST,
                "voters": {own.member: own.peer_url},
                "voters_index": 0,
            }
        case Start(cluster_id=str()) | Join():
            return _joined(step, own)
        case _:
            return {}


def _joined(step: Start | Join, own: Identity) -> Mapping[str, object]:
    """The fence, if there is one, was for data that this instance no longer has."""
    known: dict[str, object] = {"cluster_id": step.cluster_id}
    if isinstance(step, Start):
        known |= {"stage": Stage.MEMBER, "voters": step.voters, "voters_index": 0}
    if step.lineage is None:
        return {**known, "epoch": max(own.epoch, 1), "founded_at": None}
    known |= {"epoch": step.lineage.epoch, "founded_at": step.lineage.founded_at}
    return {**_UNFENCED, **known}


def _changes_of_fence(step: Step, own: Identity) -> Mapping[str, object]:
    match step:
        case Fence():
            return {"fence": step.epoch, "lifting": False, "intends_restore": False}
        case LiftFence():
            return {"lifting": True}
        case Unfence():
            return _UNFENCED
        case GiveVote():
            return {"vote": step.vote}
        case IntendRestore():
            return {"intends_restore": True}
        case RetractRestore():
            return {"intends_restore": False}
        case Restore() if own.stage is not Stage.RESTORING:
            restoring = {"stage": Stage.RESTORING, "source": step.source, "epoch": own.fence}
            return {
                **_UNFENCED,
                **restoring,
                "voters": {own.member: own.peer_url},
                "voters_index": 0,
            }
        case _:
            return {}
