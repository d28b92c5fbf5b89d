"""The connector between a real boto3 client and a real S3 server, state in memory."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=alice/20260101/us-east-1/s3/aws4_request"}


async def call(method: Any, **arguments: Any) -> Any:
    """boto3 blocks, and the connector runs in this loop."""
    return await asyncio.to_thread(method, **arguments)


@pytest.fixture
def filled(moto_url, s3):
    """Create a bucket directly at the upstream, with `report.csv` in it."""

    def fill(bucket: str) -> str:
        client = s3(moto_url)
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="report.csv", Body=b"0123456789")
        return bucket

    return fill


@pytest.fixture
def bucket(filled) -> str:
    return filled(f"bucket-{uuid.uuid4().hex[:12]}")


def raw_get(url: str, target: str, headers: dict[str, str]) -> tuple[int, str]:
    """A request whose target no client library has tidied up."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def test_the_sixth_read_in_a_minute_is_access_denied_with_formals_message(
    connector, s3, filled
):
    sensitive = filled("sensitive-bucket")
    alice = s3(await connector(), "alice")
    for _ in range(5):
        await call(alice.get_object, Bucket=sensitive, Key="report.csv")

    with pytest.raises(ClientError) as denied:
        await call(alice.get_object, Bucket=sensitive, Key="report.csv")

    answer = denied.value.response
    assert "AccessDenied" == answer["Error"]["Code"]
    assert "Blocked by Formal policy." == answer["Error"]["Message"]
    assert 403 == answer["ResponseMetadata"]["HTTPStatusCode"]
    assert (
        answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
        == answer["ResponseMetadata"]["RequestId"]
    )


async def test_the_limit_is_one_users_for_one_bucket(connector, s3, filled, bucket):
    sensitive, url = filled("sensitive-bucket"), await connector()
    alice, bob = s3(url, "alice"), s3(url, "bob")
    for _ in range(5):
        await call(alice.get_object, Bucket=sensitive, Key="report.csv")

    for client, readable in ((bob, sensitive), (alice, bucket)):
        answer = await call(client.get_object, Bucket=readable, Key="report.csv")
        assert 200 == answer["ResponseMetadata"]["HTTPStatusCode"]


async def test_the_answer_tells_the_counters_that_the_policy_saw(connector, s3, bucket):
    alice = s3(await connector(), "alice")
    await call(alice.get_object, Bucket=bucket, Key="report.csv")
    answer = await call(alice.get_object, Bucket=bucket, Key="report.csv")
    told = answer["ResponseMetadata"]["HTTPHeaders"]["x-formal-counters"]
    assert "input.bucket.access_count.last_minute=2" in told.split(", ")


async def test_a_policys_own_message_reaches_the_client(connector, s3, bucket, tmp_path):
    (tmp_path / "closed.rego").write_text(
        "package formal.v2\n\nimport future.keywords.if\n\n"
        'pre_request := {"action": "block", "type": "block_with_custom_message",\n'
        '  "message": "Closed <today> & tomorrow"} if { input.operation == "REST.GET.OBJECT" }\n'
    )
    alice = s3(await connector(policies=tmp_path), "alice")
    with pytest.raises(ClientError) as denied:
        await call(alice.get_object, Bucket=bucket, Key="report.csv")
    assert "Closed <today> & tomorrow" == denied.value.response["Error"]["Message"]


async def test_five_megabytes_pass_unchanged_both_ways(connector, s3, bucket):
    alice, body = s3(await connector(), "alice"), os.urandom(5 << 20)
    await call(alice.put_object, Bucket=bucket, Key="big ü/%2F+.bin", Body=body)
    answer = await call(alice.get_object, Bucket=bucket, Key="big ü/%2F+.bin")
    received = await asyncio.to_thread(answer["Body"].read)
    assert hashlib.sha256(body).hexdigest() == hashlib.sha256(received).hexdigest()


async def test_head_and_range_requests_are_answered_as_the_upstream_does(connector, s3, bucket):
    alice = s3(await connector(), "alice")
    head = await call(alice.head_object, Bucket=bucket, Key="report.csv")
    part = await call(alice.get_object, Bucket=bucket, Key="report.csv", Range="bytes=2-4")
    assert 10 == head["ContentLength"]
    assert 206 == part["ResponseMetadata"]["HTTPStatusCode"]
    assert b"234" == await asyncio.to_thread(part["Body"].read)


async def test_the_upstreams_own_errors_pass_through(connector, s3, bucket):
    alice = s3(await connector(), "alice")
    with pytest.raises(ClientError) as missing:
        await call(alice.get_object, Bucket=bucket, Key="no such key")
    assert "NoSuchKey" == missing.value.response["Error"]["Code"]


async def test_a_request_without_identity_is_access_denied(connector, s3, bucket):
    nobody = s3(await connector(), signature_version=UNSIGNED)
    with pytest.raises(ClientError) as denied:
        await call(nobody.get_object, Bucket=bucket, Key="report.csv")
    assert "AccessDenied" == denied.value.response["Error"]["Code"]
    assert "signature version 4" in denied.value.response["Error"]["Message"]


async def test_a_presigned_url_counts_for_its_signer(connector, s3, filled):
    sensitive, url = filled("sensitive-bucket"), await connector()
    presigned = s3(url, "alice", signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": sensitive, "Key": "report.csv"}
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        statuses = [(await client.get(presigned)).status_code for _ in range(6)]
    assert [200] * 5 + [403] == statuses


async def test_a_trusted_header_names_the_user_where_configured(connector, filled):
    sensitive, url = filled("sensitive-bucket"), await connector(user_header="x-user")
    async with httpx.AsyncClient(trust_env=False, headers=SIGNED) as client:
        target = f"{url}/{sensitive}/report.csv"
        users = ["bob"] * 6 + ["carol", ""]
        answers = [await client.get(target, headers={"x-user": user}) for user in users]
    assert [200] * 5 + [403, 200, 403] == [answer.status_code for answer in answers]


async def test_an_upstream_that_is_down_is_service_unavailable(connector, s3, free_port):
    alice = s3(await connector(upstream=f"http://127.0.0.1:{free_port()}"), "alice")
    with pytest.raises(ClientError) as failed:
        await call(alice.get_object, Bucket="anything", Key="report.csv")
    assert "ServiceUnavailable" == failed.value.response["Error"]["Code"]
    assert 503 == failed.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_a_copy_counts_as_an_access_to_its_source(connector, s3, filled, bucket):
    sensitive = filled("sensitive-bucket")
    alice = s3(await connector(), "alice")
    source = {"Bucket": sensitive, "Key": "report.csv"}
    for n in range(5):
        await call(alice.copy_object, Bucket=bucket, Key=f"copy-{n}", CopySource=source)
    with pytest.raises(ClientError) as denied:
        await call(alice.copy_object, Bucket=bucket, Key="copy-5", CopySource=source)
    assert "AccessDenied" == denied.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    "target",
    ["/open/../sensitive-bucket/report.csv", "/open/%2e%2e/sensitive-bucket/x", "//open/x"],
)
async def test_a_path_that_the_upstream_may_read_otherwise_is_refused(connector, target):
    url = await connector()
    status, body = await asyncio.to_thread(raw_get, url, target, SIGNED)
    assert 400 == status
    assert "<Code>InvalidURI</Code>" in body


async def test_a_bucket_in_the_host_name_is_refused(connector):
    url = await connector()
    headers = {**SIGNED, "Host": "sensitive-bucket.s3.example.com"}
    status, body = await asyncio.to_thread(raw_get, url, "/report.csv", headers)
    assert 400 == status
    assert "<Code>InvalidURI</Code>" in body


async def test_readiness_and_the_cluster_are_shown_beside_the_buckets(connector):
    url = await connector()
    async with httpx.AsyncClient(trust_env=False) as client:
        ready = await client.get(f"{url}/-/ready")
        cluster = await client.get(f"{url}/-/cluster")
    assert 200 == ready.status_code
    assert ready.json()["ready"] is True
    assert "x" == cluster.json()["self"]
    assert cluster.json()["state"] == ready.json()["state"]
