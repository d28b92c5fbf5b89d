"""Which versions a report is about."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from formal_cluster_conformance.rules import SPECIFICATION


def of(distribution: str | None) -> dict[str, str]:
    """The versions of the driver's distribution, of core, of the suite, and of what runs them."""
    found = {
        "specification": SPECIFICATION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in filter(None, (distribution, "formal-cluster", "formal-cluster-conformance")):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
