"""Judges a history. Pure: each function says what was wrong, or how long something took.

Whatever follows from the recorder's own uncertainty (a request takes effect at some moment between
its beginning and its end, and one without an answer may or may not have been counted) is decided in
favour of the cluster; so what is reported has happened.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from formal_cluster.model import Grade
from formal_cluster_failover.history import (
    ARCHIVE,
    LIMIT,
    WINDOW_S,
    History,
    Hit,
    Outcome,
    Sighting,
)

_TOLERANCE_S = 5.0
_STEP_S = 0.5
_FEW = 3
_TOGETHER_S = 1.0
_BAD = {Outcome.REFUSED, Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the hits of one strict subject.

    Attributes:
        acknowledged: Admitted, and said to be.
        doubtful: May have been counted although nobody was told so.
        seen: How many the cluster counts at the end.
    """

    acknowledged: int
    doubtful: int
    seen: int

    @property
    def lost(self) -> int:
        """Acknowledged hits that are not counted."""
        return max(0, self.acknowledged - self.seen)

    @property
    def invented(self) -> int:
        """Counted hits that nobody can have made."""
        return max(0, self.seen - self.acknowledged - self.doubtful)


def overshoots(history: History) -> list[str]:
    """Strict subjects of which more than the limit was admitted within a window."""
    admitted: dict[str, list[Hit]] = defaultdict(list)
    for hit in history.hits:
        limited = hit.grade is Grade.STRICT and hit.subject != ARCHIVE
        if limited and hit.outcome is Outcome.ADMITTED:
            admitted[hit.subject].append(hit)
    return [
        f"{subject}: {LIMIT + 1} strict hits admitted within {WINDOW_S:.0f} s, the limit is {LIMIT}"
        for subject, hits in admitted.items()
        if _overshoots(hits)
    ]


def _overshoots(hits: Sequence[Hit]) -> bool:
    by_end = sorted(hits, key=lambda hit: hit.ended)
    return any(
        by_end[first + LIMIT].ended - min(h.began for h in by_end[first : first + LIMIT + 1])
        < WINDOW_S
        for first in range(len(by_end) - LIMIT)
    )


def doubts(
    history: History, gone: Mapping[str, Sequence[float]], margin_s: float = 2.5
) -> Counter[str]:
    """Per strict subject, how many hits may have been counted without having been admitted.

    A denied hit is taken back a moment after it was written, unless its instance dies before.

    Args:
        gone: When each instance lost its process, its etcd or its network.
    """
    doubtful: Counter[str] = Counter()
    for hit in history.hits:
        if hit.grade is Grade.STRICT and (
            hit.outcome in _BAD
            or (hit.outcome is Outcome.DENIED and _just_before(hit, gone, margin_s))
        ):
            doubtful[hit.subject] += 1
    return doubtful


def _just_before(hit: Hit, gone: Mapping[str, Sequence[float]], margin_s: float) -> bool:
    return any(
        hit.began - margin_s <= at <= hit.ended + margin_s for at in gone.get(hit.instance, ())
    )


def acknowledged(history: History) -> Counter[str]:
    """Admitted strict hits per subject."""
    return Counter(
        hit.subject
        for hit in history.hits
        if hit.grade is Grade.STRICT and hit.outcome is Outcome.ADMITTED
    )


def miscounts(counted: Mapping[str, Counted]) -> list[str]:
    """Subjects whose count is not what was acknowledged."""
    wrong = []
    for subject, each in counted.items():
        if each.lost:
            wrong.append(
                f"{subject}: {each.lost} of {each.acknowledged} acknowledged strict hits are lost"
            )
        if each.invented:
            wrong.append(
                f"{subject}: {each.seen} strict hits are counted, {each.acknowledged} were "
                f"acknowledged and {each.doubtful} are doubtful"
            )
    return wrong


def second_clusters(history: History) -> list[str]:
    """Moments at which instances were clustered in different clusters."""
    clustered = [s for s in history.sightings if s.state == "clustered" and s.cluster_id]
    clustered.sort(key=lambda sighting: sighting.at)
    found: dict[frozenset[str], str] = {}
    for first, second in _close_pairs(clustered):
        if first.cluster_id != second.cluster_id and first.instance != second.instance:
            ids = frozenset(map(str, (first.cluster_id, second.cluster_id)))
            found.setdefault(
                ids,
                f"two clusters at once: {first.instance} in {first.cluster_id}, "
                f"{second.instance} in {second.cluster_id}",
            )
    return list(found.values())


def _close_pairs(sightings: Sequence[Sighting]) -> Iterator[tuple[Sighting, Sighting]]:
    for index, first in enumerate(sightings):
        for second in sightings[index + 1 :]:
            if second.at - first.at > _TOGETHER_S:
                break
            yield first, second


def untruths(history: History) -> list[str]:
    """Instances that said for a while the opposite of what they did."""
    said: dict[str, list[Sighting]] = defaultdict(list)
    did: dict[str, list[Hit]] = defaultdict(list)
    for sighting in history.sightings:
        said[sighting.instance].append(sighting)
    for hit in history.hits:
        if hit.grade is Grade.STRICT and hit.subject == ARCHIVE:
            did[hit.instance].append(hit)
    found = (_untruth(name, said[name], did[name]) for name in said)
    return [untruth for untruth in found if untruth is not None]


def _untruth(name: str, said: Sequence[Sighting], did: Sequence[Hit]) -> str | None:
    """The first span of `_TOLERANCE_S` in which all that was said is not what was done."""
    start, end = said[0].at, said[-1].at
    while start + _TOLERANCE_S <= end:
        until = start + _TOLERANCE_S
        words = [s for s in said if start <= s.at <= until]
        deeds = [h.outcome for h in did if start <= h.began and h.ended <= until]
        start += _STEP_S
        if len(words) < _FEW or len(deeds) < _FEW:
            continue
        good = {s.ready and s.state == "clustered" for s in words}
        if good == {True} and set(deeds) <= _BAD:
            return (
                f"{name} said ready and clustered for {_TOLERANCE_S:.0f} s, and none of "
                f"{len(deeds)} strict hits was answered"
            )
        if good == {False} and set(deeds) == {Outcome.ADMITTED}:
            states = ", ".join(sorted({f"{s.state}, ready: {s.ready}" for s in words}))
            return (
                f"{name} said {states} for {_TOLERANCE_S:.0f} s, and answered all of "
                f"{len(deeds)} strict hits"
            )
    return None


# ── how long it took ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault did to the instances that were to go on.

    Attributes:
        eventual_s: Until the last wrong eventual decision; 0 if there was none.
        strict_s: Until strict hits are answered again. If none was refused: the longest that any
            had to wait.
        refused_eventual: Eventual decisions that were refused or failed meanwhile.
        refused_strict: Strict ones.
    """

    eventual_s: float
    strict_s: float
    refused_eventual: int
    refused_strict: int


def effect(history: History, since: float, until: float, watched: Collection[str]) -> Effect:
    """What happened to the `watched` between two moments.

    Raises:
        ValueError: Too little was asked of one of them to know.
    """
    hits = [h for h in history.hits if h.instance in watched and since <= h.ended <= until]
    eventual = [h for h in hits if h.grade is Grade.EVENTUAL]
    strict = [h for h in hits if h.grade is Grade.STRICT]
    for name in watched:
        if sum(h.instance == name for h in eventual) < _FEW:
            raise ValueError(f"{name} was asked for too little to know anything")
    return Effect(
        eventual_s=max((h.ended - since for h in eventual if not h.right), default=0.0),
        strict_s=max((_until_strict(strict, since, name) for name in watched), default=0.0),
        refused_eventual=sum(h.outcome in _BAD for h in eventual),
        refused_strict=sum(h.outcome in _BAD for h in strict),
    )


def _until_strict(strict: Sequence[Hit], since: float, instance: str) -> float:
    own = [h for h in strict if h.instance == instance]
    bad = [h.began for h in own if h.outcome in _BAD]
    if not bad:
        return max((h.ended - max(h.began, since) for h in own), default=math.inf)
    good = [h.ended for h in own if h.outcome is Outcome.ADMITTED and h.began > max(bad)]
    return min(good, default=math.inf) - since


def is_right_again(history: History, now: float, watched: Collection[str], for_s: float) -> bool:
    """Whether everything asked of each of the `watched` lately was answered, and rightly."""
    for name in watched:
        recent = [h for h in _recent(history, now - for_s) if h.instance == name]
        strict = [h for h in recent if h.grade is Grade.STRICT]
        if not all(h.right for h in recent) or any(h.outcome in _BAD for h in strict):
            return False
        admitted = sum(h.outcome is Outcome.ADMITTED for h in strict)
        if admitted < _FEW or len(recent) - len(strict) < _FEW:
            return False
    return True


def _recent(history: History, since: float) -> Iterator[Hit]:
    for hit in reversed(history.hits):
        if hit.ended < since:
            return
        yield hit
