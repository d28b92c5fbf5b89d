"""One instance as the run sees it: its process, its etcd, its files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from formal_cluster_exactness.records import answers_written
from formal_cluster_failover.beds import Place
from formal_cluster_store_etcd.member import launcher


class Instance:
    """It runs from `start` until it is killed or has finished; each start is a new life."""

    def __init__(self, name: str, place: Place, home: Path, settings: dict[str, Any]) -> None:
        self.name = name
        self.place = place
        self.home = home
        self._settings = settings
        self._data_dir = home / "default.etcd"
        self._life = 0
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True)

    @property
    def answers(self) -> int:
        """How many answers it has written down, in all its lives."""
        return sum(map(answers_written, self.home.glob("answers-*")))

    @property
    def told_of_its_clock(self) -> bool:
        """Whether it was ever told that its clock is off."""
        return (self.home / "told-of-its-clock").exists()

    def set_clock(self, skew_s: int) -> None:
        """Have its wall clock be off by so much from now on."""
        (self.home / "skew_s").write_text(str(skew_s))

    def start(self) -> None:
        """Start it. It ends with this process, however that ends."""
        self._life += 1
        path = self.home / "settings.json"
        path.write_text(
            json.dumps(
                {
                    **self._settings,
                    "home": str(self.home),
                    "life": self._life,
                    "seed": hash((self._settings["seed"], self._life)),
                    "etcd": {**self._settings["etcd"], "data_dir": str(self._data_dir)},
                }
            )
        )
        with (self.home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"),
                    *(*self.place.prefix, sys.executable, "-m", "formal_cluster_exactness.worker"),
                    str(path),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def crashed(self) -> bool:
        """Whether it ended by itself, and not well."""
        return self._process is not None and self._process.poll() not in (None, 0)

    def kill(self) -> None:
        """SIGKILL, its etcd included, as when a machine dies."""
        if self._process is not None:
            self._signal([self._process.pid, *self._etcds()], signal.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_etcd(self) -> None:
        """SIGKILL of its etcd alone; its supervisor starts it again."""
        self._signal(self._etcds(), signal.SIGKILL)

    def pause(self, *, on: bool) -> None:
        """SIGSTOP of Python, or SIGCONT."""
        if self._process is not None:
            self._signal([self._process.pid], signal.SIGSTOP if on else signal.SIGCONT)

    def pause_etcd(self, *, on: bool) -> None:
        """SIGSTOP of its etcd, or SIGCONT."""
        self._signal(self._etcds(), signal.SIGSTOP if on else signal.SIGCONT)

    def finish(self) -> None:
        """Tell it to stop asking."""
        (self.home / "finish").touch()

    def wait(self, within_s: float) -> None:
        """Until it has ended by itself."""
        assert self._process is not None
        status = self._process.wait(within_s)
        if status != 0:
            raise RuntimeError(f"instance {self.name} ended with {status}; see {self.home}")

    def _etcds(self) -> list[int]:
        found = []
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit():
                with contextlib.suppress(OSError):
                    line = (directory / "cmdline").read_bytes().decode(errors="replace")
                    if "etcd" in line.split("\0")[0] and str(self._data_dir) in line:
                        found.append(int(directory.name))
        return found

    @staticmethod
    def _signal(pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
