"""Results that outlive the command: an hour's run that is interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from formal_cluster_failover.report import Pass


def read(path: Path | None) -> list[Pass]:
    """What an earlier run wrote there; nothing if there was none."""
    if path is None or not path.exists():
        return []
    return msgspec.json.decode(path.read_bytes(), type=list[Pass])


def write(path: Path | None, passes: Sequence[Pass]) -> None:
    """Replace what is there, at once or not at all."""
    if path is None:
        return
    new = path.with_name(path.name + ".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(passes), indent=1))
    new.replace(path)
