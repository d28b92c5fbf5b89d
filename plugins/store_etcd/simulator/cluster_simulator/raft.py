"""One member's replica of the log: what is on its disk, and the rules by which it changes.

The rules are raft's, as etcd has them: a vote is given once a term, and only to a candidate whose
log is not behind; a leader commits what a majority has of its own term; a list of members takes
effect when it is committed; and only one change of it may be on its way. Messages are calls here:
`etcd` says which of them arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cluster_simulator.contents import Begin, Change, Contents, Nothing, RemoveMember, SetMember


class ModelError(AssertionError):
    """The simulator itself is wrong: raft's own guarantees do not hold in it."""


class Entry(NamedTuple):
    """One entry of the log."""

    term: int
    change: Change


@dataclass(slots=True)
class Replica:
    """A member's data. The fields after `commit` are in memory only.

    Attributes:
        log: Its entries; the index of the first one is 1.
        contents: As of the entry `commit`.
        match: While it leads: how much of its log each member is known to have.
        heard_at: When it last heard from a leader, or from a majority while it leads.
    """

    cluster_id: str
    member_id: int
    term: int = 0
    voted_for: int = 0
    log: list[Entry] = field(default_factory=list)
    contents: Contents = field(default_factory=Contents)
    commit: int = 0
    leads: bool = False
    leader: int = 0
    match: dict[int, int] = field(default_factory=dict)
    heard_at: float = float("-inf")

    @classmethod
    def founded(cls, cluster_id: str, member_id: int, contents: Contents) -> Replica:
        """The only member of a new cluster."""
        replica = cls(cluster_id, member_id, term=1)
        replica.log.append(Entry(1, Begin(contents)))
        replica.learn_commit(1)
        return replica

    @property
    def position(self) -> tuple[int, int]:
        """Term and index of the last entry."""
        return (self.log[-1].term if self.log else 0), len(self.log)

    @property
    def writes(self) -> set[int]:
        """All writes in the log, committed or not."""
        return self.whole().writes

    def whole(self) -> Contents:
        """The contents as if the whole log were committed."""
        contents = Contents()
        for entry in self.log:
            contents.apply(entry.change)
        return contents

    def forget(self) -> None:
        """Its process ends: only the disk is left."""
        self.leads, self.leader, self.match, self.heard_at = False, 0, {}, float("-inf")

    def see_term(self, term: int) -> None:
        """A message of a later term has come."""
        if term > self.term:
            self.term, self.voted_for, self.leads, self.leader = term, 0, False, 0

    def votes_for(self, candidate: Replica) -> bool:
        """Answer a request for a vote."""
        self.see_term(candidate.term)
        granted = (
            self.term == candidate.term
            and self.voted_for in (0, candidate.member_id)
            and candidate.position >= self.position
        )
        if granted:
            self.voted_for = candidate.member_id
        return granted

    def take_office(self, now: float) -> None:
        """It has won an election."""
        self.leads, self.leader, self.heard_at = True, self.member_id, now
        self.match = {}
        self.log.append(Entry(self.term, Nothing()))
        self.count_votes()

    def accept(self, leader: Replica, now: float) -> bool:
        """Take what the leader has; whether it is accepted as the leader."""
        self.see_term(leader.term)
        if leader.term < self.term:
            return False
        same = min(len(self.log), len(leader.log))
        while same and self.log[same - 1].term != leader.log[same - 1].term:
            same -= 1
        if same < self.commit:
            raise ModelError(f"{self.member_id:x} would lose committed entries")
        del self.log[same:]
        self.log.extend(leader.log[same:])
        self.leads, self.leader, self.heard_at = False, leader.member_id, now
        self.learn_commit(leader.commit)
        return True

    def learn_commit(self, index: int) -> None:
        """Everything up to `index` is committed."""
        for entry in self.log[self.commit : index]:
            self.contents.apply(entry.change)
        self.commit = max(self.commit, min(index, len(self.log)))

    def count_votes(self) -> bool:
        """As the leader: commit what a majority has. Whether there was something new."""
        voters = [m.id for m in self.contents.voters]
        if not voters:
            return False
        self.match[self.member_id] = len(self.log)
        have = sorted((self.match.get(id_, 0) for id_ in voters), reverse=True)
        index = have[len(voters) // 2]
        if index <= self.commit or self.log[index - 1].term != self.term:
            return False
        self.learn_commit(index)
        if self.member_id not in self.contents.members:
            self.leads = False
        return True

    @property
    def may_change_members(self) -> bool:
        """Whether no earlier change, nor an earlier leader's entry, is still on its way."""
        if self.log[-1].term != self.term or (
            self.commit and self.log[self.commit - 1].term != self.term
        ):
            return False
        pending = self.log[self.commit :]
        return not any(isinstance(entry.change, SetMember | RemoveMember) for entry in pending)
