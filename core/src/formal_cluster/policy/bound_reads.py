"""Reads of a count's bounds that do not mean what they seem to.

`input.bucket.access_count.upper.last_minute` is a number, like `….last_minute` itself, and
`….upper` is an object. To Rego an object is more than any number, so a comparison that meets it is
true for ever; a step below a number is undefined, so a comparison of that is never true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from formal_cluster.model import BOUNDS
from formal_cluster.policy.analyse import Declared
from formal_cluster.policy.findings import Finding
from formal_cluster.policy.reads import Reads, Step

_WINDOW = 2


def misread_bounds(policies: Sequence[Reads], declared: Declared) -> Iterator[Finding]:
    """Bounds in the wrong place of a path, without a window, or met by chance."""
    read_by_name = {
        read.steps[:_WINDOW]
        for reads in policies
        for read in reads.places
        if len(read.steps) > _WINDOW and read.steps[_WINDOW] in BOUNDS
    }
    for reads in policies:
        for steps, step, at in reads.beyond:
            if _is_counter(steps, declared) and step in BOUNDS and steps[_WINDOW] is not None:
                path = _path(*steps[:_WINDOW], step, *steps[_WINDOW:])
                yield Finding(at, f"a count is a number, with nothing below it; write {path}")
        for steps, _, at in reads.thresholds:
            whole = len(steps) == _WINDOW + 1 and steps[_WINDOW] in BOUNDS
            if whole and _is_counter(steps, declared):
                path = _path(*steps, "last_minute")
                yield Finding(at, f"{_path(*steps)} is of which window? For example {path}")
        for read in reads.places:
            if read.steps[_WINDOW:] == (None,) and _overlaps(read.steps, read_by_name):
                yield Finding(
                    read.at[-1],
                    f"this comes across the windows of {_path(*read.steps[:_WINDOW])} and across "
                    f"its {' and '.join(BOUNDS)} too, which are no numbers, since another rule "
                    "reads them; name the windows",
                )


def _is_counter(steps: Sequence[Step], declared: Declared) -> bool:
    entity, name = steps[:_WINDOW]
    return name is not None and declared.somewhere(entity, name)


def _overlaps(steps: Sequence[Step], others: set[tuple[Step, ...]]) -> bool:
    return any(
        all(None in pair or pair[0] == pair[1] for pair in zip(steps, other, strict=False))
        for other in others
    )


def _path(*steps: Step) -> str:
    return ".".join(("input", *(step or "*" for step in steps)))
