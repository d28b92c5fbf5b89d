"""What is known of the store at this moment, and the status and capabilities that follow from it.

No I/O. Written by the event loop's thread, read by any.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.model import Capability, Role, StoreState, StoreStatus
from formal_cluster_store_redis_test.vetting import Facts

_SERVING_S: Final = 2.0
_ALWAYS: Final = frozenset(
    {
        Capability.COMPARE_AND_SWAP,
        Capability.TTL,
        Capability.WATCH,
        Capability.WATCH_HISTORY,
        Capability.LIST_AT_ONE_REVISION,
        Capability.SHARED,
    }
)
_OF_A_SINGLE_SERVER: Final = frozenset(
    {Capability.LINEARIZABLE_READS, Capability.LINEARIZABLE_WRITES}
)


class Knowledge:
    """What the last answers said.

    Args:
        clock: Seconds that only grow.

    Attributes:
        cluster: The id of the store in its present life; None before it was ever reached.
        revision: The highest one seen in that life.
        unwritable: Why Redis refuses writes; None if it does not.
    """

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cluster: str | None = None
        self.revision = 0
        self.unwritable: str | None = None
        self._logger = logger
        self._clock = clock
        self._answered_at: float | None = None
        self._facts: Facts | None = None
        self._keeps_acknowledged = False
        self._problem: str | None = None
        self._refused = False

    def met(self, cluster: str, revision: int, facts: Facts, *, keeps_acknowledged: bool) -> None:
        """A connection was made, to this store on this server."""
        if self.cluster not in (None, cluster):
            self._logger.error(
                "Redis was emptied, replaced, or restarted without keeping every acknowledged "
                "change: the store begins a new life",
                extra={"before": self.cluster, "cluster_id": cluster},
            )
        if self.cluster != cluster:
            self.revision = 0
        self.cluster, self._facts, self._keeps_acknowledged = cluster, facts, keeps_acknowledged
        self.answered(cluster, revision)

    def answered(self, cluster: str, revision: int) -> None:
        """The store answered, at this revision or a later one."""
        if cluster == self.cluster:
            self._answered_at = self._clock()
            self.revision = max(self.revision, revision)
            self._problem, self._refused = None, False

    def failed(self, problem: str, *, refused: bool) -> None:
        """The store cannot be reached, or will not serve until an operator acts."""
        if problem != self._problem:
            self._logger.warning("Redis does not serve", extra={"reason": problem})
        self._problem, self._refused = problem, refused

    def writable(self, refusal: str | None) -> None:
        """Why writes are refused; None if they are not."""
        if refusal is not None and self.unwritable is None:
            self._logger.warning("Redis takes no writes", extra={"reason": refusal})
        self.unwritable = refusal

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the server seen last can promise; before that, what every single server can."""
        has = _ALWAYS
        if self._facts is None or not self._facts.replicas:
            has |= _OF_A_SINGLE_SERVER
        if self._keeps_acknowledged:
            has |= {Capability.SURVIVES_RESTART}
        return has

    def status(self) -> StoreStatus:
        """See `StateStore.status`. Callable from any thread."""
        stale_s = None if self._answered_at is None else self._clock() - self._answered_at
        state, last_error = self._present(stale_s)
        return StoreStatus(
            state=state,
            role=None if self.cluster is None else Role.CLIENT,
            cluster_id=self.cluster,
            revision=None if self.cluster is None else self.revision,
            stale_ms=None if stale_s is None else round(stale_s * 1_000),
            last_error=last_error,
            warnings=() if self._facts is None else self._facts.warnings,
        )

    def _present(self, stale_s: float | None) -> tuple[StoreState, str | None]:
        if stale_s is not None and stale_s < _SERVING_S and not self._refused:
            if self.unwritable is not None:
                return StoreState.READ_ONLY, self.unwritable
            return StoreState.SERVING, None
        problem = self._problem or "Redis has not answered yet, or for a few seconds"
        if self._refused:
            return StoreState.FAILED, problem
        return StoreState.STARTING if stale_s is None else StoreState.NO_QUORUM, problem
