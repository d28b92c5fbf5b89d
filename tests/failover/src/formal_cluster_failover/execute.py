"""Plays one scenario from its start to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from formal_cluster_failover import judgement
from formal_cluster_failover.beds import Bed, Loopback, Namespaces
from formal_cluster_failover.client import Client
from formal_cluster_failover.recorder import Recorder
from formal_cluster_failover.run import DidNotHold, Measure, Run
from formal_cluster_failover.scenario import Need, Scenario
from formal_cluster_failover.service import service

_LONGEST_S = 420.0


@dataclass(frozen=True, slots=True)
class Options:
    """How scenarios are run.

    Attributes:
        etcd: The etcd program; the one that formal-cluster finds if None.
        missing: What this machine lacks, and why.
    """

    home: Path
    seed: int
    etcd: Path | None
    tls: bool
    missing: Mapping[Need, str]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario.

    Attributes:
        wrong: What did not hold; empty if all is well.
        skipped: What is missing on this machine; None if it was played.
        acknowledged: Strict hits that were admitted.
        lost: Those of them that the cluster does not count at the end.
    """

    name: str
    title: str
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    skipped: str | None = None
    acknowledged: int = 0
    lost: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong and no target was missed."""
        return not self.wrong and all(measure.is_met for measure in self.measures)


async def play(scenario: Scenario, options: Options) -> Result:
    """Play it on a bed of its own."""
    lacks = [options.missing[need] for need in scenario.needs if need in options.missing]
    if lacks:
        return Result(scenario.name, scenario.title, skipped="; ".join(lacks))
    began = time.monotonic()
    home = options.home / scenario.name
    home.mkdir(parents=True)
    bed: Bed = Loopback() if Need.SANDBOX in options.missing else Namespaces()
    try:
        return await _play_on(bed, scenario, options, home, began)
    finally:
        bed.close()


async def _play_on(
    bed: Bed, scenario: Scenario, options: Options, home: Path, began: float
) -> Result:
    wrong: list[str] = []
    async with (
        Client() as client,
        service(bed, home, etcd=options.etcd, tls=options.tls) as instances,
    ):
        recorder = Recorder(client, options.seed)
        run = Run(instances, client, recorder)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await scenario.play(run)
                bed.heal()
                await run.audit()
        except (DidNotHold, ValueError) as error:
            wrong.append(str(error))
        except TimeoutError:
            wrong.append(f"it was not over after {_LONGEST_S:.0f} s")
        finally:
            await recorder.stop()
        instances.stop()
        wrong += [
            f"{instance.name} leaves etcd {pids} behind"
            for instance in instances.instances
            if (pids := instance.etcd_pids())
        ]
    history = recorder.history
    wrong += judgement.overshoots(history)
    wrong += judgement.miscounts(run.audited)
    wrong += judgement.second_clusters(history)
    wrong += judgement.untruths(history)
    return Result(
        scenario.name,
        scenario.title,
        measures=tuple(run.measures),
        # The report is not about this machine's directories.
        notes=tuple(note.replace(f"{home}/", "") for note in run.notes),
        wrong=tuple(text.replace(f"{home}/", "") for text in wrong),
        acknowledged=sum(each.acknowledged for each in run.audited.values()),
        lost=sum(each.lost for each in run.audited.values()),
        seconds=time.monotonic() - began,
    )
