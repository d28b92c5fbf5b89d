"""How a driver's findings become a `View`: pure functions over values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from formal_cluster.model import Instance, InstanceState, View


def view_of(instances: Iterable[Instance], *, me: Instance | None, complete: bool) -> View:
    """A view of `instances`, of which the first of each id counts, sorted by id.

    Args:
        me: This process, in the view as RUNNING whether or not `instances` lists it: it knows
            that it runs. None when the driver cannot tell which instance it is.
    """
    by_id: dict[str, Instance] = {}
    for instance in instances:
        by_id.setdefault(instance.id, instance)
    if me is not None:
        by_id[me.id] = replace(me, state=InstanceState.RUNNING)
    return View(tuple(by_id[id_] for id_ in sorted(by_id)), complete)


def described(instances: Iterable[Instance]) -> str:
    """The instances as an error message lists them."""
    return ", ".join(
        instance.id if instance.id == instance.address else f"{instance.id} ({instance.address})"
        for instance in instances
    )
