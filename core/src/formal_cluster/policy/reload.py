"""Hot reload: a changed set takes effect at once and as a whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from formal_cluster.background import background
from formal_cluster.errors import PolicyLoadError
from formal_cluster.policy.evaluate import PolicySet
from formal_cluster.policy.load import load_policies
from formal_cluster.policy.sources import policy_files
from formal_cluster.settings import CounterSettings, PolicySettings

logger = logging.getLogger(__name__)

_Stamp: TypeAlias = tuple[str, int, int, int, int] | tuple[str]

_TICK_NS = 50_000_000
"""Times of files come from a clock that ticks: two changes of one tick may bear the same time."""


class PolicyHolder:
    """The policy set in force, replaced when its files change.

    Attributes:
        last_error: Why the files as they are now were refused; None when the set in force is
            theirs.

    Raises:
        PolicyLoadError: The files cannot be used to begin with.
        ConfigError: A counter is declared twice.
    """

    def __init__(self, settings: PolicySettings, counters: Sequence[CounterSettings]) -> None:
        self._settings = settings
        self._counters = tuple(counters)
        self._stamp = _kept(_stamp(settings.paths))
        self._current = load_policies(settings.paths, self._counters)
        self.last_error: str | None = None

    def current(self) -> PolicySet:
        """The set in force. Ask once per decision: next time it may be another one."""
        return self._current

    def check(self) -> bool:
        """Look at the files; load them if they changed. Blocks for as long as that takes.

        Returns:
            Whether another set is in force now. A set that is refused changes nothing but
            `last_error`; it is tried again when the files change again.
        """
        # The stamp is taken before the files are read: what is written meanwhile is seen next time.
        stamp = _stamp(self._settings.paths)
        if stamp == self._stamp:
            return False
        self._stamp = _kept(stamp)
        generation = self._current.generation + 1
        try:
            loaded = load_policies(self._settings.paths, self._counters, generation=generation)
        except PolicyLoadError as error:
            known, self.last_error = self.last_error, str(error)
            if known != self.last_error:
                logger.error(  # noqa: TRY400 - the author's mistake; our traceback would not help
                    "policies refused; the last good set stays in force",
                    extra={"generation": self._current.generation, "error": self.last_error},
                )
            return False
        self.last_error = None
        if loaded.digest == self._current.digest:
            return False
        self._current = loaded
        logger.info(
            "policies reloaded",
            extra={
                "generation": generation,
                "digest": loaded.digest,
                "policies": [policy.name for policy in loaded.policies],
            },
        )
        return True

    @contextlib.asynccontextmanager
    async def watching(self, changed: Callable[[PolicySet], None]) -> AsyncIterator[None]:
        """Check every `reload_seconds` while the context lasts; never if that is 0.

        Args:
            changed: Called with each set that has come into force.
        """
        if not self._settings.reload_seconds:
            yield
            return
        async with background(self._watch(changed), name="policy reload"):
            yield

    async def _watch(self, changed: Callable[[PolicySet], None]) -> None:
        while True:
            await asyncio.sleep(self._settings.reload_seconds)
            if await asyncio.to_thread(self.check):
                changed(self._current)


def _kept(stamp: tuple[_Stamp, ...]) -> tuple[_Stamp, ...] | None:
    """The stamp, or None if a file may change once more without changing it: look again then."""
    now = time.time_ns()
    changed = (entry[-1] for entry in stamp if len(entry) > 1)
    return None if any(0 <= now - at < _TICK_NS for at in changed) else stamp


def _stamp(paths: Sequence[Path]) -> tuple[_Stamp, ...]:
    """What changes whenever the files do: also on a change of permissions or a replaced link."""
    stamps: list[_Stamp] = []
    for file, _ in policy_files(paths, []):
        try:
            seen = file.stat()
        except OSError as error:
            stamps.append((f"{file}: {error.strerror}",))
        else:
            stamps.append(
                (str(file), seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
            )
    return tuple(stamps)
