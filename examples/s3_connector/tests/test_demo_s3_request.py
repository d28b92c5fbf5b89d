"""What is read from a request, and what is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_demo import s3_request
from formal_cluster_demo.s3_request import S3Error, Target

SCOPE = "20260101/us-east-1/s3/aws4_request"
segments = st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1).filter(
    lambda text: text not in {".", ".."}
)


def test_the_user_is_the_access_key_id_of_the_signature():
    header = f"AWS4-HMAC-SHA256 Credential=alice/{SCOPE}, SignedHeaders=host, Signature=00"
    assert "alice" == s3_request.signer(header, "")


def test_the_user_of_a_presigned_url_is_the_one_in_its_credential():
    query = f"X-Amz-Credential={quote(f'alice/{SCOPE}', safe='')}&X-Amz-Expires=60"
    assert "alice" == s3_request.signer("", query)


@pytest.mark.parametrize(
    ("header", "query"),
    [
        ("", ""),
        ("Basic YWxpY2U6", ""),
        ("AWS alice:signature", ""),
        ("AWS4-HMAC-SHA256 Credential=/scope", ""),
        ("", "X-Amz-Credential=/scope"),
        ("AWS4-HMAC-SHA256 Credential=alice/s,AWS4-HMAC-SHA256 Credential=bob/s", ""),
        ("AWS4-HMAC-SHA256 Credential=alice/s", "X-Amz-Credential=bob/s"),
        ("", "X-Amz-Credential=alice/s&X-Amz-Credential=bob/s"),
    ],
)
def test_no_signer_or_two_of_them_is_access_denied(header, query):
    with pytest.raises(S3Error) as refused:
        s3_request.signer(header, query)
    assert (403, "AccessDenied") == (refused.value.status, refused.value.code)


@given(bucket=segments, keys=st.lists(segments, min_size=1))
def test_bucket_and_key_are_the_first_segment_and_the_rest(bucket, keys):
    key = "/".join(keys)
    assert Target(bucket, key) == s3_request.target_of(f"/{bucket}/{key}")
    assert Target(bucket, key) == s3_request.copied_from(quote(f"{bucket}/{key}") + "?versionId=1")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", Target(None, None)),
        ("/b", Target("b", None)),
        ("/b/", Target("b", None)),
        ("/b/k/", Target("b", "k/")),
        ("/b//k", Target("b", "/k")),
        ("/b/...", Target("b", "...")),
    ],
)
def test_paths_of_the_service_a_bucket_and_an_object(path, target):
    assert target == s3_request.target_of(path)


@given(st.lists(st.sampled_from(["b", "", ".", "..", "k"])).map("/".join))
def test_an_accepted_path_means_the_same_after_dot_segments_are_resolved(path):
    try:
        target = s3_request.target_of(path)
    except S3Error as refused:
        assert "InvalidURI" == refused.code  # noqa: PT017  both outcomes are right
        return
    resolved: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            resolved[-1:] = []
        elif segment != ".":
            resolved.append(segment)
    assert "/".join(resolved)[1:].split("/")[0] == (target.bucket or "")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "[::1]:80", "localhost:1", "s3.me"])
def test_an_ip_address_or_an_own_name_is_path_style(host):
    s3_request.check_host(host, {"localhost", "s3.me"})


@pytest.mark.parametrize("host", ["", "b.s3.me", "b.127.0.0.1", "b.localhost:80", "[::1", "a b"])
def test_any_other_host_name_is_refused(host):
    with pytest.raises(S3Error) as refused:
        s3_request.check_host(host, {"localhost", "s3.me"})
    assert 400 == refused.value.status


def test_the_policy_input_names_user_bucket_object_and_operation():
    assert {
        "user": {"id": "alice"},
        "bucket": {"name": "b"},
        "object": {"key": "k"},
        "method": "PUT",
        "operation": "REST.PUT.OBJECT",
        "client_ip_address": "10.0.0.9",
    } == s3_request.document("alice", Target("b", "k"), "PUT", "10.0.0.9")
    listing = s3_request.document("alice", Target(None, None), "GET", None)
    assert "REST.GET.SERVICE" == listing["operation"]
    assert not {"bucket", "object"} & set(listing)


@given(st.text())
def test_the_error_document_is_xml_whatever_the_message(message):
    body = s3_request.error_document(S3Error(403, "AccessDenied", message), "id-1")
    assert "AccessDenied" == ET.fromstring(body.encode()).findtext("Code")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"])))
def test_the_error_document_carries_the_message_unchanged(message):
    body = s3_request.error_document(S3Error(403, "AccessDenied", message), "id-1")
    parsed = ET.fromstring(body.encode())
    assert "AccessDenied" == parsed.findtext("Code")
    assert message == parsed.findtext("Message")
    assert "id-1" == parsed.findtext("RequestId")
