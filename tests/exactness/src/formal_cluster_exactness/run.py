"""Starts three instances, harms them while they decide, and brings everything to an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from formal_cluster_exactness.instance import Instance
from formal_cluster_exactness.plan import SKEWS_S, Fault, Kind
from formal_cluster_failover.beds import Bed

_FORMED_WITHIN_S = 120.0
_RECOVERED_WITHIN_S = 120.0
_TOLD_WITHIN_S = 120.0
_FINISHED_WITHIN_S = 120.0
_LOOK_S = 0.1


class Options(NamedTuple):
    """What is asked for.

    Attributes:
        hits: Answers after which no more faults begin and the run ends.
        faults: How many faults there are at least.
        waiting: Accesses that each instance has waiting at a time.
    """

    hits: int
    seed: int
    grade: str
    waiting: int
    faults: int


class Played(NamedTuple):
    """A fault, and how many answers there were from its beginning until all decided again."""

    fault: Fault
    answers: int


@dataclass
class Course:
    """How a run went."""

    played: list[Played] = field(default_factory=list)
    seconds: float = 0.0
    told_of_their_clocks: list[str] = field(default_factory=list)


class Run:
    """Three instances on a bed."""

    def __init__(self, bed: Bed, home: Path, options: Options) -> None:
        self._bed = bed
        self._options = options
        places = [bed.place() for _ in range(3)]
        names = ("a", "b", "c")
        listed = [{"id": n, "address": p.address} for n, p in zip(names, places, strict=True)]
        self.instances = [
            Instance(name, place, home / name, self._settings(number, name, listed))
            for number, (name, place) in enumerate(zip(names, places, strict=True))
        ]

    def play(self, faults: Iterator[Fault], say: Callable[[str], None]) -> Course:
        """Until there are enough answers; then everything has ended.

        Raises:
            RuntimeError: An instance crashed, or the cluster did not form.
        """
        course = Course()
        try:
            self.instances[2].set_clock(SKEWS_S[0])
            for instance in self.instances:
                instance.start()
            self._until(self._all_decide([0, 0, 0]), _FORMED_WITHIN_S, "form")
            began = time.monotonic()
            while self.answers < self._options.hits or len(course.played) < self._options.faults:
                fault = next(faults)
                before = self.answers
                self._inflict(fault)
                say(
                    f"{self.answers:>9} answers; {fault.kind} ({self.instances[fault.target].name})"
                )
                after = [instance.answers for instance in self.instances]
                self._until(self._all_decide(after), _RECOVERED_WITHIN_S, "decide again")
                course.played.append(Played(fault, self.answers - before))
                time.sleep(fault.pause_s)
            self._until(self._bad_clock_is_told, _TOLD_WITHIN_S, "tell that a clock is off")
            course.seconds = time.monotonic() - began
            for instance in self.instances:
                instance.finish()
            for instance in self.instances:
                instance.wait(_FINISHED_WITHIN_S)
            course.told_of_their_clocks.extend(
                instance.name for instance in self.instances if instance.told_of_its_clock
            )
        finally:
            for instance in self.instances:
                instance.kill()
        return course

    @property
    def answers(self) -> int:
        """All answers so far."""
        return sum(instance.answers for instance in self.instances)

    def _inflict(self, fault: Fault) -> None:
        target = self.instances[fault.target]
        match fault.kind:
            case Kind.KILL:
                target.kill()
                time.sleep(fault.length_s)
                target.start()
            case Kind.KILL_ETCD:
                target.kill_etcd()
                time.sleep(fault.length_s)
            case Kind.KILL_TWO_ETCDS:
                for instance in self.instances:
                    if instance is not target:
                        instance.kill_etcd()
                time.sleep(fault.length_s)
            case Kind.PAUSE:
                target.pause(on=True)
                time.sleep(fault.length_s)
                target.pause(on=False)
            case Kind.PAUSE_ETCD:
                target.pause_etcd(on=True)
                time.sleep(fault.length_s)
                target.pause_etcd(on=False)
            case Kind.CUT:
                self._bed.cut([target.place])
                time.sleep(fault.length_s)
                self._bed.heal()
            case Kind.SET_CLOCK:
                target.set_clock(fault.skew_s)

    def _all_decide(self, after: list[int]) -> Callable[[], bool]:
        """Whether every instance has answered a good deal more since."""
        enough = 20 * self._options.waiting

        def check() -> bool:
            return all(
                instance.answers > known + enough
                for instance, known in zip(self.instances, after, strict=True)
            )

        return check

    def _bad_clock_is_told(self) -> bool:
        """A short run on a fast machine is over before it has been looked at often enough."""
        return self.instances[2].told_of_its_clock

    def _until(self, check: Callable[[], bool], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not check():
            for instance in self.instances:
                if instance.crashed():
                    raise RuntimeError(f"instance {instance.name} crashed; see {instance.home}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the instances did not {what} within {within_s:.0f} s")
            time.sleep(_LOOK_S)

    def _settings(self, number: int, name: str, listed: list[dict[str, str]]) -> dict[str, Any]:
        ports = self._bed.ports
        return {
            "seed": self._options.seed * 10 + number,
            "grade": self._options.grade,
            "waiting": self._options.waiting,
            "settle_s": 3.0,
            "discovery": {"self": name, "instances": listed},
            "etcd": {
                "client_port": ports.client,
                "peer_port": ports.peer,
                "genesis_stable_s": 0.5,
            },
            "counters": {},
        }
