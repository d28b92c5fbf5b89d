"""What is remembered of a job, and where: in the cache that all instances share.

An entry is written once, when BigQuery has accepted the job and before the client hears of it, and
never changed. So whoever knows a job's id finds the entry, at whichever instance; and an entry
exists only for a job that BigQuery accepted through one of them with that very statement.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from formal_cluster.cache import Cache, Codec, of_type
from formal_cluster_bigquery.bigquery_request import Job
from formal_cluster_bigquery.errors import BigQueryError

NAMESPACE: Final = "bigquery_jobs"
_STATEMENT_KEPT: Final = 2_000
_LONGEST_PLAIN_KEY: Final = 512


class JobEntry(msgspec.Struct, frozen=True):
    """What was decided for a job.

    Attributes:
        statement: Its beginning, for those who look.
        digest: SHA-256 of the whole of it.
        decision: The id that the decision has in the decision log.
        results: What the policy said of its results, as `{"action": …}`; None for nothing.
    """

    user: str
    statement: str
    digest: str
    decision: str
    results: dict[str, Any] | None = None


CODEC: Final[Codec[JobEntry]] = of_type(JobEntry)


def entry_for(user: str, statement: str, decision: str, results: dict[str, Any] | None) -> JobEntry:
    """The entry of a job that was permitted."""
    digest = hashlib.sha256(statement.encode("utf-8", "surrogatepass")).hexdigest()
    return JobEntry(user, statement[:_STATEMENT_KEPT], digest, decision, results)


def key_of(job: Job) -> str:
    """The cache key of a job."""
    plain = "/".join(job)
    if len(plain) <= _LONGEST_PLAIN_KEY:
        return plain
    return f"{job.project}/{job.location}/sha256:{hashlib.sha256(plain.encode()).hexdigest()}"


class Jobs:
    """All jobs that this connector's instances have let through."""

    def __init__(self, cache: Cache[JobEntry]) -> None:
        self._cache = cache

    async def remember(self, job: Job, entry: JobEntry) -> None:
        """Keep a job's entry.

        Raises:
            BigQueryError: Another job of that name is known.
            CacheUnavailable, OutcomeUnknown: It may not be known elsewhere; do not hand it out.
        """
        present = await self._cache.put_if_absent(key_of(job), entry)
        if present is not None and (present.user, present.digest) != (entry.user, entry.digest):
            raise BigQueryError(409, f"Already Exists: Job {job.id}")

    async def recall(self, job: Job, user: str) -> JobEntry:
        """The entry of a job that `user` asks for. What memory lacks is asked of the store.

        Raises:
            BigQueryError: No instance has let such a job through, or it is another user's.
            CacheUnavailable: That cannot be told.
        """
        key = key_of(job)
        entry = await self._cache.get(key) or await self._cache.get(key, fresh=True)
        if entry is None:
            raise BigQueryError(403, f"Access Denied: Job {job.id} is not known to this connector.")
        if entry.user != user:
            raise BigQueryError(403, f"Access Denied: Job {job.id} is another user's.")
        return entry
