"""One request's way: enrichment → counters → policy → decision.

All grades take the same steps and differ in one: how the access is counted before the policy sees
the counts. An access that is denied afterwards is taken back, unless its counter says
`count_denied`.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

from formal_cluster.errors import CountersUnavailable, InputError
from formal_cluster.hookspecs import ClusterInfo
from formal_cluster.model import (
    JSON,
    Count,
    CounterReading,
    Decision,
    Grade,
    OnDegraded,
    PolicyOutcome,
    Stage,
)
from formal_cluster.policy import PolicySet, Touched, framework_block, merge, plan
from formal_cluster.protocols import Attempt, Counters, Enricher, ReservingCounters
from formal_cluster.settings import Settings

_log = logging.getLogger(__name__)
_NOT_LOCALLY = frozenset({OnDegraded.BLOCK, OnDegraded.LOCAL})
"""Whoever forces a grade does not want the local count that a counter may fall back to."""

Observer = Callable[[Decision, Mapping[str, Any], float], None]
"""Called after each decision with it, the caller's input, and the seconds it took."""


class _Answer(NamedTuple):
    """What the policies made of a request."""

    result: Mapping[str, JSON] | None
    reason: str | None
    readings: tuple[CounterReading, ...]
    outcomes: tuple[PolicyOutcome, ...]


class _Request(NamedTuple):
    """A request on its way to a decision."""

    stage: Stage
    given: Mapping[str, Any]
    policies: PolicySet
    touched: Touched
    cluster: ClusterInfo
    began: float


class Decider:
    """Decides requests; `decide` from any thread."""

    def __init__(
        self,
        settings: Settings,
        policies: Callable[[], PolicySet],
        counters: Counters,
        enrichers: Sequence[Enricher],
        cluster: Callable[[], ClusterInfo],
    ) -> None:
        self._on_policy_error = settings.policy.on_error
        self._on_enricher_error = settings.enrichment.on_error
        self._deadline_s = settings.counters.strict_deadline_ms / 1000
        self._policies = policies
        self._counters = counters
        self._reserving = counters if isinstance(counters, ReservingCounters) else None
        self._enrichers = tuple(enrichers)
        self._cluster = cluster
        self._asked_for: tuple[PolicySet | None, tuple[Enricher, ...]] = (None, ())
        self._observers: list[Observer] = []
        # Unique like a UUID at a tenth of its price: random bytes per process, then a number.
        self._id_prefix = os.urandom(8).hex() + "-"
        self._id_number = itertools.count(1)

    def observe(self, observer: Observer) -> None:
        """Call `observer` after each decision, in the thread that decided."""
        self._observers.append(observer)

    # ── the ways to ask ──────────────────────────────────────────────────────────────────────

    def decide(self, stage: Stage, document: Mapping[str, Any]) -> Decision:
        """Decide in local memory. See `Cluster.decide`."""
        request = self._begin(stage, document)
        if isinstance(request, Decision):
            return request
        grade = request.touched.grade
        if grade is Grade.STRICT:
            raise InputError(
                "the request touches a counter declared strict, which local memory cannot decide; "
                "use decide_strict or decide_as_declared",
                code="strict_counter",
            )
        if grade is Grade.RESERVED:
            decision = self._decide_at_once(request, grade)
            if decision is not None:
                return decision
            if request.cluster.reachable:
                raise InputError(
                    "the request touches a counter declared reserved, and this instance holds no "
                    "reserved hit for it now; use decide_reserved or decide_as_declared",
                    code="nothing_reserved",
                )
        return self._decide_locally(request)

    async def decide_strict(self, stage: Stage, document: Mapping[str, Any]) -> Decision:
        """Decide in the log's order. See `Cluster.decide_strict`."""
        request = self._begin(stage, document)
        if isinstance(request, Decision):
            return request
        return await self._decide_in_log(request, Grade.STRICT, _NOT_LOCALLY)

    async def decide_reserved(self, stage: Stage, document: Mapping[str, Any]) -> Decision:
        """Decide by reserved hits. See `Cluster.decide_reserved`."""
        request = self._begin(stage, document)
        if isinstance(request, Decision):
            return request
        return await self._decide_in_log(request, Grade.RESERVED, _NOT_LOCALLY)

    async def decide_as_declared(self, stage: Stage, document: Mapping[str, Any]) -> Decision:
        """Decide with the strictest grade touched. See `Cluster.decide_as_declared`."""
        request = self._begin(stage, document)
        if isinstance(request, Decision):
            return request
        grade = request.touched.grade
        if grade is Grade.STRICT or grade is Grade.RESERVED:
            return await self._decide_in_log(request, grade, {OnDegraded.BLOCK})
        return self._decide_locally(request)

    # ── the steps ────────────────────────────────────────────────────────────────────────────

    def _begin(self, stage: Stage, given: Mapping[str, Any]) -> _Request | Decision:
        """Enrich the input and find the counters it touches; a decision if that settles it."""
        began = time.perf_counter()
        policies = self._policies()
        document, failure = self._enrich(stage, given, self._asked(policies))
        touched = plan(document, stage, policies.uses_at(stage))
        cluster = self._cluster()
        request = _Request(stage, given, policies, touched, cluster, began)
        if failure is not None:
            return self._refuse(request, failure)
        if not cluster.reachable:
            return self._refusal_without_log(request, {OnDegraded.BLOCK}) or request
        return request

    def _asked(self, policies: PolicySet) -> tuple[Enricher, ...]:
        """The enrichers whose fields anybody reads; worked out once for a policy set."""
        known, asked = self._asked_for
        if known is not policies:
            read = policies.fields_read
            asked = tuple(e for e in self._enrichers if _is_wanted(e, read))
            self._asked_for = policies, asked
        return asked

    def _enrich(
        self, stage: Stage, given: Mapping[str, Any], enrichers: tuple[Enricher, ...]
    ) -> tuple[object, str | None]:
        """The caller's input with every enricher's fields; why the decision must be a block."""
        if type(given) is not dict and not isinstance(given, Mapping):
            return given, None
        document: dict[str, Any] = {**given}
        for enricher in enrichers:
            try:
                merge_fields(document, enricher.enrich(stage, document))
            except Exception as error:  # noqa: BLE001  a plugin's bug is decided on
                name = type(enricher).__name__
                _log.exception("an enricher failed", extra={"enricher": name})
                if self._on_enricher_error == "block":
                    return document, f"enricher {name} failed: {error}"
        return document, None

    def _decide_locally(self, request: _Request) -> Decision:
        """Count in local memory: grade `eventual`."""
        hits = request.touched.hits
        try:
            attempt = self._counters.attempt(hits) if hits else None
        except CountersUnavailable as error:
            return self._refuse(request, str(error))
        return self._conclude(request, Grade.EVENTUAL, attempt)

    async def _decide_in_log(
        self, request: _Request, grade: Grade, refuse_without: AbstractSet[OnDegraded]
    ) -> Decision:
        """Count in the shared log, hit by hit or by blocks; without it, as `refuse_without` says.

        Args:
            grade: `strict` or `reserved`.
        """
        decision = self._decide_at_once(request, grade)
        if decision is not None:
            return decision
        if request.cluster.reachable:
            hits = request.touched.hits
            reserving = self._reserving if grade is Grade.RESERVED else None
            try:
                if reserving is not None:
                    attempt = await reserving.attempt_reserved(hits, deadline_s=self._deadline_s)
                else:
                    attempt = await self._counters.attempt_strict(hits, deadline_s=self._deadline_s)
            except CountersUnavailable as error:
                _log.warning("the log did not answer in time", extra={"error": str(error)})
            else:
                return self._conclude(request, grade, attempt)
        return self._refusal_without_log(request, refuse_without) or self._decide_locally(
            request._replace(cluster=replace(request.cluster, reachable=False))
        )

    def _decide_at_once(self, request: _Request, grade: Grade) -> Decision | None:
        """Decide without waiting for the log, if that is as good; else None."""
        hits = request.touched.hits
        if not hits:
            return self._conclude(request, grade, None)
        if not request.cluster.reachable:
            return None
        if grade is Grade.RESERVED and self._reserving is not None:
            attempt = self._reserving.spend(hits)
            if attempt is not None:
                return self._conclude(request, grade, attempt)
        # Who is blocked already writes nothing: an attempt would only be taken back again.
        if not any(hit.count_denied for hit in hits):
            glance = self._ask(request, self._counters.peek(hits))
            if _is_block(glance.result):
                return self._answer(request, grade, glance, self._revision())
        return None

    def _conclude(self, request: _Request, grade: Grade, attempt: Attempt | None) -> Decision:
        """Ask the policies; keep or take back the attempt as they say."""
        try:
            answer = self._ask(
                request,
                attempt.counts if attempt else (),
                in_log_order=grade is not Grade.EVENTUAL,
            )
        except BaseException:
            if attempt is not None:
                attempt.cancel()
            raise
        if attempt is None:
            return self._answer(request, grade, answer, self._revision())
        if _is_block(answer.result):
            attempt.cancel()
        else:
            attempt.commit()
        return self._answer(request, grade, answer, attempt.revision)

    def _ask(
        self,
        request: _Request,
        hit_counts: Sequence[Sequence[Count]],
        *,
        in_log_order: bool = False,
    ) -> _Answer:
        """Put the counts into the input and let every policy see it."""
        looks = request.touched.looks
        document, readings = request.touched.fill(
            hit_counts,
            self._counters.peek(looks) if looks else (),
            degraded=not request.cluster.reachable,
            unseen=request.cluster.unseen,
            in_log_order=in_log_order,
        )
        outcomes = request.policies.evaluate(request.stage, document)
        result, reason = merge(outcomes, self._on_policy_error)
        return _Answer(result, reason, readings, outcomes)

    # ── the decision ─────────────────────────────────────────────────────────────────────────

    def _refusal_without_log(
        self, request: _Request, refuse: AbstractSet[OnDegraded]
    ) -> Decision | None:
        """A block if a counter touched must not be decided without the shared state."""
        paths = [path for kind in refuse for path in request.touched.paths(kind)]
        if not paths:
            return None
        return self._refuse(
            request,
            f"the shared count of {', '.join(paths)} cannot be reached "
            f"(this instance is {request.cluster.state})",
        )

    def _refuse(self, request: _Request, reason: str) -> Decision:
        answer = _Answer(framework_block(reason), reason, (), ())
        return self._answer(request, None, answer, None)

    def _answer(
        self, request: _Request, grade: Grade | None, answer: _Answer, revision: int | None
    ) -> Decision:
        result, reason, readings, outcomes = answer
        decision = Decision(
            self._id_prefix + "%012x" % next(self._id_number),  # noqa: UP031 - twice as fast
            request.stage,
            result,
            readings,
            outcomes,
            request.cluster.state,
            grade if readings else None,
            revision if readings else None,
            reason,
            request.cluster.stale_ms if readings else None,
        )
        seconds = time.perf_counter() - request.began
        for observer in self._observers:
            observer(decision, request.given, seconds)
        return decision

    def _revision(self) -> int:
        return self._counters.status().revision


def _is_wanted(enricher: Enricher, read: frozenset[str] | None) -> bool:
    adds: frozenset[str] | None = getattr(enricher, "fields", None)
    return adds is None or read is None or not adds.isdisjoint(read)


def merge_fields(document: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Merge an enricher's fields into a document that is ours at the top level only.

    Nested objects are merged, anything else is replaced; the caller's own objects are copied
    before they are changed.
    """
    for name, value in fields.items():
        present = document.get(name)
        if isinstance(present, dict) and isinstance(value, Mapping):
            opened = present.copy()
            merge_fields(opened, value)
            document[name] = opened
        else:
            document[name] = value


def _is_block(result: Mapping[str, JSON] | None) -> bool:
    return result is not None and result.get("action") == "block"
