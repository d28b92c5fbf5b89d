"""The instances of one contestant, each in a process of its own, told by pipe what to do.

A benchmark calls module-level functions in them: `fleet.all(function, *arguments)` runs
`await function(instance, *arguments)` in every instance at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any, Concatenate, ParamSpec, TypeVar

from benchmarks.contestant import Limiter, Place
from benchmarks.contestants import by_name
from benchmarks.stores import Stores
from formal_cluster.server import collector

P = ParamSpec("P")
T = TypeVar("T")

_OPENS_WITHIN_S = 60
_spaces = itertools.count()


@dataclass(frozen=True, slots=True)
class Instance:
    """What a function that runs in an instance is given."""

    number: int
    limiter: Limiter


class InstanceFailed(Exception):
    """Something raised in an instance; the message is its traceback."""


class Failures:
    """Contestants that failed: the run goes on without them, and says so."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    @contextlib.contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Go on after the block if the contestant fails in it."""
        try:
            yield
        except InstanceFailed as failure:
            self._why[name] = str(failure).strip().splitlines()[-1]

    def of(self, name: str) -> bool:
        """Whether that contestant failed."""
        return name in self._why

    def markdown(self) -> str:
        """Who failed, and why; nothing if nobody did."""
        return "\n".join(f"Left out, as it failed: {n} (`{why}`)." for n, why in self._why.items())


Task = Callable[Concatenate[Instance, P], Awaitable[T]]


class Fleet:
    """Running instances."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def __len__(self) -> int:
        return len(self._pipes)

    def all(self, task: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Run it in every instance at once; what each returned."""
        return self.first(len(self._pipes), task, *args, **kwargs)

    def first(self, count: int, task: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Run it in the first `count` instances at once."""
        self.begin(count, task, *args, **kwargs)
        return self.finish(count)

    def begin(self, count: int, task: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start it in the first `count` instances; `finish` must follow."""
        for pipe in self._pipes[:count]:
            pipe.send((task, args, kwargs))

    def finish(self, count: int) -> list[Any]:
        """What those instances returned.

        Raises:
            InstanceFailed: It raised in one of them.
        """
        # All are heard before any failure is raised: an answer left behind would pass for the next.
        return [_answer(said) for said in [pipe.recv() for pipe in self._pipes[:count]]]


@contextlib.contextmanager
def fleet(name: str, stores: Stores, *, instances: int, window_s: int = 60) -> Iterator[Fleet]:
    """Instances of the contestant of that name, with no counts in common with earlier ones."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.preloaded"])
    space = f"bench-{os.getpid()}-{next(_spaces)}"
    processes: list[ForkServerProcess] = []
    pipes: list[Connection] = []
    try:
        for number in range(instances):
            place = Place(stores.redis.port, stores.etcd.port, space, number, window_s)
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(name, place, theirs), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        for pipe in pipes:
            if not pipe.poll(_OPENS_WITHIN_S):
                raise InstanceFailed(f"an instance of {name} did not start")
            _answer(pipe.recv())
        yield Fleet(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(5)
            process.kill()
            process.join()


def _answer(said: tuple[bool, Any]) -> Any:
    succeeded, answer = said
    if not succeeded:
        raise InstanceFailed(answer)
    return answer


def _serve(name: str, place: Place, pipe: Connection) -> None:
    asyncio.run(_obey(name, place, pipe))


async def _obey(name: str, place: Place, pipe: Connection) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            limiter = await stack.enter_async_context(by_name(name).open(place))
        except Exception:  # noqa: BLE001 - the benchmark shows it
            pipe.send((False, traceback.format_exc()))
            return
        instance = Instance(place.instance, limiter)
        collector.calm()  # as `formal-cluster serve` does; here for everybody
        pipe.send((True, None))
        while True:
            try:
                task, args, kwargs = await asyncio.to_thread(pipe.recv)
            except (EOFError, ConnectionResetError):  # the benchmark has what it wanted, or is gone
                return
            try:
                pipe.send((True, await task(instance, *args, **kwargs)))
            except Exception:  # noqa: BLE001 - the benchmark shows it
                pipe.send((False, traceback.format_exc()))
