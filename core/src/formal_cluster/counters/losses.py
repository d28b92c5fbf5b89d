"""What is done to the ledger when the store lost something: notice, remember, begin a new life.

`loss` decides whether something is lost, `held` keeps what is remembered, `reappend` puts it back.
Everything here is called from the event loop's thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.held import Held
from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.load import Remembrance
from formal_cluster.counters.loss import Present, why_lost
from formal_cluster.counters.records import Batch, Birth


class StoreLosses:
    """Changes a ledger, under its lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def settled(self) -> bool:
        """See `Ledger.is_settled`."""
        with self._ledger.lock:
            return self._ledger.is_settled

    @property
    def life_began(self) -> int:
        """The revision at which the log's present life began, as far as it is folded."""
        position = self._ledger.state.writers.get(LOG_ITSELF)
        return 0 if position is None else position.revision

    def why_lost(self, present: Present) -> str | None:
        """Why the store no longer has all that is held; None if it has, or if that is known."""
        with self._ledger.lock:
            if self._ledger.held is not None and self._ledger.held.includes(self._ledger.state):
                return None
            if not (self._ledger.life or self._ledger.state.writers):
                return None
            if present.life != self._ledger.life:
                return "the log has a new life"
            return why_lost(
                self._ledger.state, present, self._ledger.catch_up.clock.now(self._ledger.now())
            )

    def put_aside(self) -> bool:
        """The store lost a part of what is held: remember it. False if that is known or nothing."""
        with self._ledger.lock:
            if not self._ledger.state.writers or (
                self._ledger.held is not None and self._ledger.held.includes(self._ledger.state)
            ):
                return False
            if self._ledger.held is None:
                self._ledger.held = Held()
            self._ledger.held.put_aside(self._ledger.state)
            return True

    def birth(self, present: Present) -> Batch:
        """The record of a new life of the log of which `present` is left."""
        with self._ledger.lock:
            awaited = present.writers | set(self._ledger.state.writers)
            if self._ledger.held is not None:
                awaited |= self._ledger.held.writers
            wall = self._ledger.wall()
            log_time = self._ledger.state.log_time or int(bool(present.newest))
            time = self._ledger.catch_up.propose(log_time, self._ledger.now(), wall)
            # By chance, so that a second copy of the same store gets another life.
            life = max(self._ledger.life, present.life) + 1 + secrets.randbelow(1 << 32)
            return Batch(
                epoch=life,
                seq=1,
                proposed=time.proposed,
                wall=wall,
                sync=time.sync,
                birth=Birth(cluster=present.cluster, awaited=sorted(awaited - {LOG_ITSELF})),
            )

    def glean(self, gleaned: State, state: State, newest: Sequence[Record], oldest: int) -> None:
        """Remember the records that are left from before `oldest` and after `state`.

        Their like is gone, so they are re-appended with what is held instead of being folded here.

        Args:
            gleaned: An empty state.
        """
        with self._ledger.lock:
            assert self._ledger.held is not None
            for record in newest:
                if state.revision < record.revision < oldest:
                    state.skip(record)
                    if not self._ledger.held.covers(
                        record.writer, record.batch.epoch, record.batch.seq
                    ):
                        gleaned.apply(record)
            if gleaned.writers:
                self._ledger.held.put_aside(gleaned)

    def ask_windows_of(self, held: Held) -> None:
        """Have everybody keep hits for the windows that were kept before a store loss."""
        with self._ledger.lock:
            for counter, length in held.windows:
                if length not in self._ledger.state.resolution(counter).lengths:
                    self._ledger.outbox.ask(counter, length)

    def remind(self, remembrance: Remembrance) -> None:
        """Re-append this with the next batch."""
        with self._ledger.lock:
            self._ledger.outbox.remembrance = remembrance
            self._ledger.idle = False

    def forget_held(self, held: Held) -> None:
        """The log has what was held."""
        with self._ledger.lock:
            if self._ledger.held is held:
                self._ledger.held = None
