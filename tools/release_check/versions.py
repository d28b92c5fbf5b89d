"""One version for everything: is it so, and making it so.

    python -m tools.release_check.versions 0.2.0

writes a new version wherever the old one stands: each distribution's, what they require of each
other, and the Helm chart's.

They require each other exactly: what was not tested together is not installed together, and who
upgrades one of them only is told so by the installer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.release_check.workspace import ROOT, Distribution, distributions

CHART = Path("deploy/helm/formal-cluster/Chart.yaml")
_IN_CHART = re.compile(r'^((?:version|appVersion): "?)([^"\n]+)("?)$', re.MULTILINE)
_OWN = re.compile(r'^(version = ")[^"]+(")$', re.MULTILINE)
_OF_OURS = re.compile(r'("formal-cluster[\w-]*(?:\[[\w,-]+\])?==)[^"]+(")')
_RELEASE = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")


def problems(ours: Sequence[Distribution], chart: str) -> Iterator[str]:
    """What contradicts that there is one version; `chart` is the text of `CHART`."""
    versions = {each.version for each in ours}
    if len(versions) > 1:
        for each in ours:
            yield f"{each.name} has version {each.version}; all have to have the same"
        return
    [version] = versions
    names = {each.name for each in ours}
    for each in ours:
        for required in each.requirements:
            if required.name in names and required.rest != f"=={version}":
                yield f"{each.name} requires {required.name}{required.rest}, not =={version}"
    for line in _IN_CHART.finditer(chart):
        if line[2] != version:
            yield f"{CHART} says {line[0]!r}; it has to be {version}"


def set_version(root: Path, version: str) -> list[Path]:
    """Write the version everywhere. Returns the files that were changed.

    Raises:
        ValueError: It is no version such as 0.2.0 or 0.2.0rc1.
    """
    if _RELEASE.fullmatch(version) is None:
        raise ValueError(f"{version!r} is no version such as 0.2.0 or 0.2.0rc1")
    changed = []
    projects = [each.directory / "pyproject.toml" for each in distributions(root)]
    for path in (*projects, root / CHART):
        old = new = path.read_text()
        if path.name == CHART.name:
            new = _IN_CHART.sub(rf"\g<1>{version}\g<3>", old)
        else:
            new = _OF_OURS.sub(rf"\g<1>{version}\g<2>", _OWN.sub(rf"\g<1>{version}\g<2>", old))
        if new != old:
            path.write_text(new)
            changed.append(path)
    return changed


if __name__ == "__main__":
    for file in set_version(ROOT, sys.argv[1]):
        sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    sys.stdout.write("now run: tools/uv lock\n")
