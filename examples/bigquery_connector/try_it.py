"""Three connectors, one killed in between: `python examples/bigquery_connector/try_it.py`.

Drives them with the unmodified google-cloud-bigquery client. Needs Linux and `etcd` on PATH.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from google.api_core.exceptions import Forbidden
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from formal_cluster_bigquery.site import Connector, Site

CUSTOMERS = "SELECT name, email FROM customers"


def client(connector: Connector, user: str) -> bigquery.Client:
    """A client of one user, at one connector."""
    return bigquery.Client(
        project="my-project",
        credentials=Credentials(f"{user}-token"),
        client_options={"api_endpoint": connector.url},
    )


def rows(connector: Connector, user: str, job_id: str) -> str:
    """What the user is shown of the job's results there."""
    try:
        job = client(connector, user).get_job(job_id, location="US")
        return str([row.values() for row in job.result(retry=None)])
    except Forbidden as error:
        return f"refused: {error.errors[0]['message']}"


def main() -> None:
    """Start, insert, kill, read."""
    print("starting three connectors, each with an etcd of its own; this takes some seconds …")
    with tempfile.TemporaryDirectory() as home, Site(Path(home)) as site:
        first, second, third = site.connectors
        job = client(first, "alice").query(CUSTOMERS)
        print(f"alice starts a job through {first.name}: {CUSTOMERS}\n  job {job.job_id}")
        first.kill()
        print(f"{first.name} is killed")
        print(f"alice reads it through {second.name}: {rows(second, 'alice', job.job_id)}")
        print(f"alice reads it through {third.name}:  {rows(third, 'alice', job.job_id)}")
        print(f"bob tries it through {second.name}:   {rows(second, 'bob', job.job_id)}")
        print(f"alice tries a job nobody has started: {rows(third, 'alice', 'made-up')}")


if __name__ == "__main__":
    main()
