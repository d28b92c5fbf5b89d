"""Private namespaces for the whole run: processes, network and mounts that end with it.

The run is the first process of its own PID namespace: when it ends, however it ends, the kernel
kills all that is left in there, and with the last process the network namespaces, their devices
and the mounts are gone. None of them has a name that could be left behind.

The program outside starts it through the store's launcher, so it does not outlive that either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from formal_cluster_store_etcd.member import launcher

_INSIDE = "FORMAL_CLUSTER_FAILOVER_INSIDE"
_NAMESPACES = ("--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
_AS_ROOT = ("--user", "--map-root-user")
_TRIAL = (
    "ip link add name br type bridge && ip link add name one type veth peer name two && "
    "mount -t tmpfs -o size=64k none /tmp && unshare --net true"
)
_END_WITHIN_S = 20.0


def is_inside() -> bool:
    """Whether this process is the one inside."""
    return _INSIDE in os.environ


def missing() -> str | None:
    """What keeps this machine from giving the run namespaces of its own; None if nothing does."""
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("mount", "mount")):
        if shutil.which(program) is None:
            return f"the program {program} is not installed (Debian: {package})"
    trial = subprocess.run(
        [*_unshare(), "sh", "-c", _TRIAL], capture_output=True, text=True, check=False
    )
    if trial.returncode == 0:
        return None
    who = "root" if os.geteuid() == 0 else "a user that is not root"
    return f"the kernel does not let {who} make namespaces: {trial.stderr.strip()}"


def run_inside(arguments: Sequence[str], module: str = "formal_cluster_failover") -> int:
    """Run this program, a module, with the same arguments inside; its exit status."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"),
            *(*_unshare(), sys.executable, "-m", module, *arguments),
        ],
        env={**os.environ, _INSIDE: "1"},
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the process inside as well.
        try:
            return process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            return 130
    finally:
        process.kill()
        process.wait()


def _unshare() -> list[str]:
    unshare = shutil.which("unshare") or "unshare"
    return [unshare, *(() if os.geteuid() == 0 else _AS_ROOT), *_NAMESPACES, "--"]
