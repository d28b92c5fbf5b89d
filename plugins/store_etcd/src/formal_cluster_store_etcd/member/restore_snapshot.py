"""Makes a stopped instance the founder of a new cluster that begins with a snapshot's data.

The new cluster's epoch is far ahead of every one that instances which kept other data can have, so
theirs is the one that gives way if they meet. Data that is present is set aside and kept.

What a crash leaves behind does not start: until the last step the identity is that of other data.
The command is then simply given again.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from formal_cluster.model import Instance
from formal_cluster_store_etcd.client.snapshots import check_snapshot
from formal_cluster_store_etcd.member import identity_file
from formal_cluster_store_etcd.member.binary import inspect, search
from formal_cluster_store_etcd.member.data_dir import DataDir, unusable
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.in_thread import in_thread
from formal_cluster_store_etcd.member.rebuild import restore_database
from formal_cluster_store_etcd.member.restore_tool import find_restore_tool
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.urls import member_url

_EPOCHS_AHEAD: Final = 1_000
"""Each recovery adds one; nobody sees as many between two restores of a snapshot."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made.

    Attributes:
        member: The name of the new cluster's first member.
    """

    data_dir: Path
    member: str
    epoch: int


async def restore_snapshot(file: Path, settings: EtcdSettings, instance: Instance) -> Restored:
    """Restore a snapshot into the data directory of `instance`, which must not run.

    Raises:
        CannotStart: The instance runs, or something is missing; nothing was changed.
        SnapshotDamaged: The file is not a whole snapshot; nothing was changed.
    """
    binary = await inspect(
        search(settings.binary), allow_known_bad=settings.allow_known_bad_version
    )
    tool = await find_restore_tool(binary)
    await in_thread(_check, file)
    directory = await in_thread(_open, settings.data_dir)
    work = directory.path / "restoring"
    try:
        own = _founder(directory, instance, settings)
        await in_thread(shutil.rmtree, work, ignore_errors=True)
        await restore_database(
            file,
            work / "restored",
            work=work / "tool",
            name=own.member,
            peer_url=own.peer_url,
            token=secrets.token_hex(16),
            tool=tool,
        )
        await in_thread(_put_in_place, directory, work / "restored", own)
    except OSError as error:
        raise unusable(directory.path, error) from error
    finally:
        await in_thread(shutil.rmtree, work, ignore_errors=True)
        directory.close()
    return Restored(directory.path, own.member, own.epoch)


def _check(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            check_snapshot(opened, str(file))
    except OSError as error:
        raise CannotStart(f"{file} cannot be read: {error.strerror}") from error


def _open(path: Path) -> DataDir:
    try:
        return DataDir.open(path)
    except CannotStart as error:
        raise CannotStart(f"{error}. If it is this instance that runs, stop it first") from error


def _founder(directory: DataDir, instance: Instance, settings: EtcdSettings) -> Identity:
    peer_url = member_url(
        settings.scheme, instance.address, instance.peer_port or settings.peer_port
    )
    before = identity_file.load(directory, instance.id, peer_url)
    fresh = Identity.fresh(instance.id, peer_url, identity_file.new_incarnation())
    return fresh.model_copy(
        update={
            "stage": Stage.FOUNDING,
            "epoch": max(before.epoch, before.fence) + _EPOCHS_AHEAD,
            "voters": {fresh.member: peer_url},
            "source": "snapshot",
        }
    )


def _put_in_place(directory: DataDir, restored: Path, own: Identity) -> None:
    """From the moment the identity is saved, a start of the instance would finish it too."""
    directory.discard_restored()
    restored.rename(directory.restored)
    identity_file.save(directory, own)
    directory.adopt_restored()
