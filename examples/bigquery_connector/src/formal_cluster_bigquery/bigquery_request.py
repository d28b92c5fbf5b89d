"""What a request to BigQuery says: who asks, which job it is about, which statement it runs. Pure.

Hazard: the decision must be about the job that the upstream will serve. So the upstream's URL is
built from the parts found here, with the location always named, and never copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from formal_cluster_bigquery.errors import BigQueryError

_PROJECT = re.compile(r"[A-Za-z0-9.:-]{1,128}")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_LOCATION = re.compile(r"[A-Za-z0-9-]{1,64}")


class Job(NamedTuple):
    """A job's name in BigQuery: its id is unique within project and location only."""

    project: str
    location: str
    id: str


def user_of(authorization: str | None, users: Mapping[str, str]) -> str:
    """The user that a bearer token belongs to.

    Raises:
        BigQueryError: There is no token, or nobody has it.
    """
    scheme, _, token = (authorization or "").partition(" ")
    user = users.get(token.strip()) if scheme.lower() == "bearer" else None
    if user is None:
        raise BigQueryError(401, "The request has no token of a known user.")
    return user


def project_of(name: str) -> str:
    """The project that a path names.

    Raises:
        BigQueryError: It is no project's name.
    """
    if not _PROJECT.fullmatch(name):
        raise BigQueryError(400, f"{name!r} is no project.")
    return name


def named_job(project: str, job_id: str, location: str | None, default_location: str) -> Job:
    """The job that a path and the query's `location` name.

    Raises:
        BigQueryError: They cannot name one.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise BigQueryError(400, f"{job_id!r} is no job id.")
    location = location or default_location
    if not _LOCATION.fullmatch(location):
        raise BigQueryError(400, f"{location!r} is no location.")
    return Job(project_of(project), location.upper(), job_id)


def referenced_job(answer: Mapping[str, Any], project: str) -> Job | None:
    """The job that the upstream's answer names; None if it names none.

    Raises:
        BigQueryError: What it names cannot be remembered, so that it must not be handed out.
    """
    reference = answer.get("jobReference")
    if reference is None:
        return None
    try:
        job_id, location, of_project = (
            reference["jobId"],
            reference["location"],
            reference["projectId"],
        )
        job = named_job(of_project, job_id, location, location)
    except (KeyError, TypeError, BigQueryError):
        raise BigQueryError(502, f"BigQuery answered with the job reference {reference}.") from None
    if of_project != project:
        raise BigQueryError(502, f"BigQuery answered for project {of_project}, not {project}.")
    return job


def document_of(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BigQueryError: It is none.
    """
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BigQueryError(400, f"The body is not a JSON object: {error}") from None
    return document


def inserted_statement(body: Mapping[str, Any], project: str) -> str:
    """The statement of a `jobs.insert` in `project`.

    Raises:
        BigQueryError: It is no query job (others move data past every decision about results), or
            it is to be one of another project.
    """
    reference = body.get("jobReference", {})
    if not isinstance(reference, dict) or reference.get("projectId", project) != project:
        raise BigQueryError(400, f"The job reference is not one of project {project}.")
    configuration = body.get("configuration")
    query = configuration.get("query") if isinstance(configuration, dict) else None
    if not isinstance(query, dict) or set(configuration or ()) & {"load", "extract", "copy"}:
        raise BigQueryError(403, "Only query jobs pass this connector.")
    return _statement(query)


def queried_statement(body: Mapping[str, Any]) -> str:
    """The statement of a `jobs.query`.

    Raises:
        BigQueryError: There is none.
    """
    return _statement(body)


def _statement(query: Mapping[str, Any]) -> str:
    statement = query.get("query")
    if not isinstance(statement, str) or not statement:
        raise BigQueryError(400, "The request has no query.")
    return statement


def policy_input(user: str, operation: str, project: str, statement: str) -> dict[str, Any]:
    """What the policies are asked about."""
    return {
        "user": {"id": user},
        "operation": operation,
        "project": {"name": project},
        "query": {"statement": statement},
    }
