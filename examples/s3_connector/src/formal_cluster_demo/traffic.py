"""Real S3 traffic: boto3 clients, one for each user and connector."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from formal_cluster_demo.errors import DemoError

KEY = "report.csv"
_CONFIG = Config(
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 1},  # each request is one hit
    connect_timeout=5,
    read_timeout=15,
    proxies={},
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got: HTTP status, S3's error code and message, the counters it was told."""

    status: int
    code: str | None
    message: str | None
    counters: Mapping[str, int]

    @property
    def last_minute(self) -> int | None:
        """The user's accesses to the bucket in the last minute, this one included."""
        return self.counters.get("input.bucket.access_count.last_minute")


class Traffic:
    """Clients of the connectors."""

    def __init__(self) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]  # a profile or an endpoint of the caller's is not for this
        self._clients: dict[tuple[str, str], Any] = {}

    def read(self, user: str, url: str, bucket: str) -> Answer:
        """GetObject, signed by `user`.

        Raises:
            DemoError: The connector did not answer.
        """
        try:
            answer = self._client(user, url).get_object(Bucket=bucket, Key=KEY)
            answer["Body"].read()
        except ClientError as error:
            return _answer(error.response)
        except BotoCoreError as error:
            raise DemoError(str(error)) from error
        return _answer(answer)

    def fill_bucket(self, user: str, url: str, bucket: str) -> None:
        """Create a bucket with one object in it.

        Raises:
            DemoError: It did not work.
        """
        client = self._client(user, url)
        try:
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key=KEY, Body=b"name,amount\nexample,1\n")
        except (ClientError, BotoCoreError) as error:
            raise DemoError(f"cannot create bucket {bucket} through {url}: {error}") from error

    def _client(self, user: str, url: str) -> Any:
        if (user, url) not in self._clients:
            self._clients[user, url] = boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id=user,
                aws_secret_access_key="not-verified-by-moto",
                config=_CONFIG,
            )
        return self._clients[user, url]


def _answer(response: Mapping[str, Any]) -> Answer:
    metadata, error = response["ResponseMetadata"], response.get("Error", {})
    header = metadata["HTTPHeaders"].get("x-formal-counters", "")
    pairs = (item.rpartition("=") for item in header.split(", ") if item)
    return Answer(
        status=metadata["HTTPStatusCode"],
        code=error.get("Code"),
        message=error.get("Message"),
        counters={path: int(value) for path, _, value in pairs},
    )
