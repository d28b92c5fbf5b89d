"""Becomes a program that the kernel kills when the suite ends, however the suite ends.

Run as `python -I -S _die_with_parent.py PARENT_PID PROGRAM [ARGUMENT…]`; never imported. The
process id stays the same. The kernel's "parent" is the thread that started this process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(f"the suite (process {parent}) has ended; not starting {command[0]}")
    os.execvp(command[0], command)
