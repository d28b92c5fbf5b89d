"""Whether the store serves, as its driver knows it: asked before each call, so it is remembered.

A call to a store that does not serve would wait for its deadline, and a write that ran into it is
not known to have failed.
"""

from __future__ import annotations

import time

from formal_cluster.errors import Unavailable
from formal_cluster.model import StoreState
from formal_cluster.protocols import StateStore

_REMEMBERED_S = 0.05


class Condition:
    """A store's condition, looked at every 50 ms at most."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._why_not: str | None = None
        self._looked_at = float("-inf")

    def check_serving(self) -> None:
        """Return if the store at least answers reads.

        Raises:
            Unavailable: It does not.
        """
        now = time.monotonic()
        if now - self._looked_at > _REMEMBERED_S:
            status = self._store.status()
            serves = status.state in (StoreState.SERVING, StoreState.READ_ONLY)
            self._why_not = None if serves else status.last_error or f"the store is {status.state}"
            self._looked_at = now
        if self._why_not is not None:
            raise Unavailable(self._why_not)
