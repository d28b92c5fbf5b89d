"""Names of members: how an instance and its member map onto each other.

Pure. A member is called `<instance>-<incarnation>`: whoever comes back with an empty disk is a new
member, even under the same instance id and address, and can never be taken for the old one.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:/-]")
_INCARNATION: Final = re.compile(r"[0-9a-f]{8}\Z")


def member_name(instance_id: str, incarnation: str) -> str:
    """The etcd name of an instance's member."""
    return f"{_slug(instance_id)}-{incarnation}"


def is_member_of(name: str, instance_id: str) -> bool:
    """Whether `name` is a member of that instance, in this or another incarnation."""
    return is_ours(name) and name.rpartition("-")[0] == _slug(instance_id)


def is_ours(name: str) -> bool:
    """Whether `name` is one that this package gives to members."""
    stem, _, incarnation = name.rpartition("-")
    return bool(stem) and _INCARNATION.fullmatch(incarnation) is not None


def _slug(instance_id: str) -> str:
    """The id as it may stand in `--initial-cluster`, where `,`, `=`, `%` and `+` have meanings."""
    slug = _UNSAFE.sub("_", instance_id)
    if slug == instance_id:
        return slug
    return f"{slug}.{hashlib.sha256(instance_id.encode()).hexdigest()[:8]}"
