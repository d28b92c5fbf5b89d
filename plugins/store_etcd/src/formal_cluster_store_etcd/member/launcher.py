"""Starts etcd so that it dies with its supervisor, however the supervisor dies.

Run as a program, `python -I -S launcher.py PARENT_PID -- etcd …`: it asks the kernel to kill this
process when its parent ends (prctl PR_SET_PDEATHSIG), makes sure that the parent has not ended
already, and becomes etcd. The process id stays the same, so the supervisor's child *is* etcd.

Hazards:
- The kernel's "parent" is the *thread* that started this process. It must be one that lives as long
  as etcd shall: the supervisor starts it from the event loop's thread.
- The request is kept across exec, but not for a program with set-user-id bits or file capabilities.
- Linux only.

It imports nothing of this package and is never imported by it: it runs before any of it could.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_EXIT_NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Become the program after `--`; return an exit status only if that is not possible."""
    parent, separator, *command = arguments
    if separator != "--" or not command:
        return _refuse("usage: launcher.py PARENT_PID -- PROGRAM [ARGUMENT…]")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return _refuse(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        return _refuse(f"the supervisor (process {parent}) has ended; not starting {command[0]}")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would keep that
    try:
        os.execv(command[0], command)  # noqa: S606 - to become etcd is what it is for
    except OSError as error:
        return _refuse(f"{command[0]}: {error.strerror}")


def _refuse(reason: str) -> int:
    sys.stderr.write(f"launcher: {reason}\n")
    return _EXIT_NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
