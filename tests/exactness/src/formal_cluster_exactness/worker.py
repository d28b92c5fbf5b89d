"""One instance: an etcd, the counters on it, and accesses that wait for strict decisions.

It reads its wall clock's error from a file, which the run changes, and writes what `records` says.
When the file `finish` appears it stops asking, waits until everything is in the log, and writes the
counts of all accesses as it sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.discovery.static import StaticDiscovery, StaticSettings
from formal_cluster.errors import CountersUnavailable
from formal_cluster.hookspecs import CountersContext, StoreContext
from formal_cluster.model import WatchUpdate
from formal_cluster.protocols import Attempt
from formal_cluster_exactness import load
from formal_cluster_exactness.records import Answer, Change, Outcome, write_answer, write_change
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.store import EtcdStore

PREFIX = b"/exactness/"
LOG = PREFIX + b"log/"
_DEADLINE_S = 2.0
_PAUSE_S = 0.02
_LOOK_S = 0.1


class TappedStore(EtcdStore):
    """Writes down what the watch on the log delivers, before anybody else sees it."""

    tap: BinaryIO

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `StateStore.watch`."""
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                if prefix.startswith(LOG):
                    for event in update.events:
                        write_change(self.tap, Change(event.revision, event.key, event.value))
                yield update


class Worker:
    """Asks one instance's counters until told to finish."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._home = Path(settings["home"])
        life = settings["life"]
        self._answers = (self._home / f"answers-{life}").open("ab")
        self._refusals = (self._home / f"refusals-{life}").open("ab")
        self._tap = (self._home / f"log-{life}").open("ab")
        self._random = random.Random(settings["seed"])
        self._skew_ns = 0
        self._grade: str = settings["grade"]
        self._read_skew()

    async def run(self) -> None:
        """Until the file `finish` is there."""
        discovery = StaticDiscovery(
            StaticSettings.model_validate(self._settings["discovery"]), None
        )
        instance = await discovery.identify()
        logger = logging.getLogger("exactness")
        store = TappedStore(
            EtcdSettings.model_validate(self._settings["etcd"]),
            StoreContext(instance, discovery, logger.getChild("store")),
        )
        store.tap = self._tap
        counters = LogCounters(
            LogCountersSettings.model_validate(self._settings["counters"]),
            CountersContext(instance, store, PREFIX, logger.getChild("counters")),
            wall_ns=lambda: time.time_ns() + self._skew_ns,
        )
        await store.start()
        await counters.start()
        try:
            await self._load(counters)
            await self._settle(counters)
        finally:
            await counters.stop()
            await store.stop()

    async def _load(self, counters: LogCounters) -> None:
        finish = self._home / "finish"
        waiting = [
            asyncio.create_task(self._ask_on(counters)) for _ in range(self._settings["waiting"])
        ]
        warned = False
        while not finish.exists():
            await asyncio.sleep(_LOOK_S)
            self._read_skew()
            self._answers.flush()
            self._refusals.flush()
            self._tap.flush()
            status = counters.status()
            warned |= status.clock_warning is not None and status.clock_off_ms != 0
            if warned:
                (self._home / "told-of-its-clock").touch()
            for task in waiting:
                if task.done():
                    task.result()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _ask_on(self, counters: LogCounters) -> None:
        while not counters.status().caught_up:
            await asyncio.sleep(_LOOK_S)
        while True:
            kind, subject = load.pick(self._random)
            began = counters.status().log_time_ms or 0
            try:
                attempt = await self._ask(counters, kind, subject)
            except CountersUnavailable:
                # Its hit may be in the log; it is taken back there.
                self._refusals.write(b".")
                await asyncio.sleep(_PAUSE_S)
                continue
            count = attempt.counts[0][0].value
            # As a policy does: the present access counts as well.
            if count + 1 <= load.LIMITS[kind].most:
                attempt.commit()
                outcome = Outcome.ADMITTED
            else:
                attempt.cancel()
                outcome = Outcome.DENIED
            ended = counters.status().log_time_ms or 0
            answer = Answer(began, ended, attempt.revision, subject, count, kind, outcome)
            write_answer(self._answers, answer)

    async def _ask(self, counters: LogCounters, kind: int, subject: int) -> Attempt:
        attempt = getattr(counters, f"attempt_{self._grade}")
        made: Attempt = await attempt(load.reads(kind, subject), deadline_s=_DEADLINE_S)
        return made

    async def _settle(self, counters: LogCounters) -> None:
        """Write what this instance counts once it has read all that the others wrote."""
        await asyncio.sleep(self._settings["settle_s"])
        counts = counters.peek(load.totals())
        (self._home / "totals").write_text(json.dumps([row[0].value for row in counts]))
        self._tap.close()
        self._answers.close()
        self._refusals.close()

    def _read_skew(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            text = (self._home / "skew_s").read_text()
            self._skew_ns = int(float(text) * 1e9) if text else self._skew_ns


def main() -> None:
    """Take the settings from the file that is the only argument."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(Worker(json.loads(Path(sys.argv[1]).read_text())).run())


if __name__ == "__main__":
    main()
