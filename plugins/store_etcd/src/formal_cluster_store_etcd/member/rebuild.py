"""Makes the data of a stopped member into the data of a new cluster with one member.

    source ── copy ──> work/member      all of its log is committed (`wal` says why) ...
    work/member/snap/db                 ... and applied, by an etcd on the copy (`replay`)
    work/restored ── rename ──> target  what the restore tool makes of that database

The source is only read. Until the last step, a rename, nothing is at `target`; a crash leaves the
work directory behind, which the next attempt begins by deleting.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Final

from formal_cluster_store_etcd.member.binary import Binary
from formal_cluster_store_etcd.member.data_dir import sync_directory, unusable
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.member.in_thread import in_thread
from formal_cluster_store_etcd.member.replay import replay
from formal_cluster_store_etcd.member.restore_tool import RestoreTool, run_restore
from formal_cluster_store_etcd.member.wal import commit_all
from formal_cluster_store_etcd.planning.log_position import LogPosition

_NEW_LOG_BYTES: Final = 64 << 20
"""Size of the first segment of the new write-ahead log."""
_SPARE_BYTES: Final = 64 << 20


async def rebuild(
    *,
    source: Path,
    target: Path,
    work: Path,
    name: str,
    peer_url: str,
    token: str,
    binary: Binary,
    tool: RestoreTool,
    logger: logging.Logger,
    replay_within_s: float = 60.0,
) -> LogPosition:
    """Make `target`, a directory `member`, of `source`, the one of an etcd that does not run.

    Args:
        work: A directory for this alone, on the same file system as `target`; deleted in the end.
        name: The new cluster's only member.
        peer_url: Where others will reach it.
        token: A random one, never used before: the new cluster's id is made of it.
        replay_within_s: How long etcd may take to apply what is in the log.

    Returns:
        Where the log of `source` ends; all of it is in `target`.

    Raises:
        CannotStart: It failed; nothing is at `target`, and `source` is as it was.
    """
    try:
        await in_thread(_copy, source, target, work)
        log = await in_thread(commit_all, work / "member")
        await replay(work, log, binary, logger, within_s=replay_within_s)
        await restore_database(
            work / "member" / "snap" / "db",
            target,
            work=work / "restored",
            name=name,
            peer_url=peer_url,
            token=token,
            tool=tool,
        )
    except OSError as error:
        raise unusable(work, error) from error
    finally:
        await in_thread(shutil.rmtree, work, ignore_errors=True)
    return log.last


async def restore_database(
    database: Path,
    target: Path,
    *,
    work: Path,
    name: str,
    peer_url: str,
    token: str,
    tool: RestoreTool,
) -> None:
    """Make `target`, a directory `member`, of a database or a snapshot. Arguments as `rebuild`.

    Raises:
        CannotStart: The tool failed.
        OSError: The result cannot be moved to `target`.
    """
    await run_restore(tool.command(database, work, name=name, peer_url=peer_url, token=token))
    await in_thread(_publish, work / "member", target)


def _copy(source: Path, target: Path, work: Path) -> None:
    if target.exists():
        raise CannotStart(f"{target} exists already, and is not overwritten; move it away")
    if work.exists():
        shutil.rmtree(work)
    database = source / "snap" / "db"
    if not database.is_file():
        raise CannotStart(f"{source} holds no etcd database, snap/db; restore a snapshot instead")
    sizes = [path.stat().st_size for path in source.rglob("*") if path.is_file()]
    needed = sum(sizes) + database.stat().st_size + _NEW_LOG_BYTES + _SPARE_BYTES
    free = shutil.disk_usage(work.parent).free
    if free < needed:
        raise CannotStart(
            f"recovering the data in {source} takes {needed >> 20} MiB more, and {work.parent} has "
            f"{free >> 20} MiB free. Free some space, for example by deleting data that was set "
            "aside and is of no use any more; it is tried again"
        )
    # etcd keeps the next segment of its log ready, as *.tmp: 64 MiB of zeros.
    shutil.copytree(source, work / "member", ignore=shutil.ignore_patterns("*.tmp"))


def _publish(restored: Path, target: Path) -> None:
    """The tool syncs what it writes into files, but not the directories they are in."""
    for directory in (restored, *(path for path in restored.rglob("*") if path.is_dir())):
        sync_directory(directory)
    restored.rename(target)
    sync_directory(target.parent)
