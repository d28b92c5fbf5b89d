"""Keeps the identity beside the data.

The file is replaced atomically and synced before anything that depends on it is shown to others or
done: `genesis` explains why that makes a second cluster impossible.
"""

from __future__ import annotations

import secrets
from typing import Final

from pydantic import ValidationError

from formal_cluster_store_etcd.member.data_dir import DataDir, unusable, write_synced
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.names import member_name
from formal_cluster_store_etcd.planning.identity import Identity, Stage

_FILE: Final = "formal-cluster.json"


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
        return Identity.fresh(instance, peer_url, new_incarnation())
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
    if _has_lost_data(identity, directory):
        return identity.renewed(peer_url, new_incarnation())
    if identity.has_data:
        return identity
    name = member_name(instance, identity.incarnation)
    return identity.model_copy(update={"peer_url": peer_url, "member": name})


def save(directory: DataDir, identity: Identity) -> None:
    """Write the identity so that it survives a crash at any moment. Blocks: call it in a thread.

    Raises:
        CannotStart: It could not be written.
    """
    try:
        content = identity.model_dump_json(indent=2).encode() + b"\n"
        write_synced(directory.path / _FILE, content)
    except OSError as error:
        raise unusable(directory.path, error) from error


def new_incarnation() -> str:
    """A random one."""
    return secrets.token_hex(4)


def _has_lost_data(identity: Identity, directory: DataDir) -> bool:
    """A founder may not have got as far as having any; but one that restored it had."""
    had = identity.stage is Stage.MEMBER or (
        identity.stage is Stage.FOUNDING and identity.source is not None
    )
    return had and not directory.has_data and not directory.restored.exists()
