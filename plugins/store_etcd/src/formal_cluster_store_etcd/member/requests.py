"""An operator's request to count those that do not answer as dead: a file beside the data.

`formal-cluster recover` writes it, the supervisor takes it; it is good for one loss of the quorum.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from formal_cluster_store_etcd.member.data_dir import (
    DataDir,
    sync_directory,
    unusable,
    write_synced,
)

_FILE: Final = "formal-cluster-recover.json"


def write_request(data_dir: Path) -> Path:
    """Leave the request in an instance's data directory; where it is.

    Raises:
        CannotStart: The directory cannot be written.
    """
    path = data_dir / _FILE
    try:
        write_synced(path, b'{"format": 1, "the_others_are_dead": true}\n')
    except OSError as error:
        raise unusable(data_dir, error) from error
    return path


def is_requested(directory: DataDir) -> bool:
    """Whether there is a request. Persist what it means, then `drop_request`."""
    return (directory.path / _FILE).exists()


def drop_request(directory: DataDir) -> None:
    """Take the request away.

    Raises:
        CannotStart: The directory cannot be changed.
    """
    try:
        (directory.path / _FILE).unlink(missing_ok=True)
        sync_directory(directory.path)
    except OSError as error:
        raise unusable(directory.path, error) from error
