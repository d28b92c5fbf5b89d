"""What JetStream's answers say of a change."""

from __future__ import annotations

import json

import pytest

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError
from formal_cluster_store_nats.answers import ApiError, WrongRevision, document_of, revision_of


def refusal(code: int, why: str = "so") -> bytes:
    return json.dumps({"error": {"code": 400, "err_code": code, "description": why}}).encode()


def test_an_acknowledgement_has_the_revision():
    assert 42 == revision_of(b'{"stream": "s", "seq": 42}')


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(10071, "wrong last sequence: 5"), WrongRevision),
        (refusal(10164), WrongRevision),
        (refusal(10077, "maximum bytes exceeded"), NotWritable),
        (refusal(10047), NotWritable),
        (refusal(10054), StoreError),
    ],
)
def test_what_is_certainly_refused_is_told_so(answer, error):
    with pytest.raises(error) as raised:
        revision_of(answer)
    assert error is raised.type


@pytest.mark.parametrize(
    "answer",
    [refusal(10008), refusal(10077, "disk on fire"), refusal(99999), b"", b"[]", b'{"seq": null}'],
)
def test_every_other_answer_leaves_it_open(answer):
    with pytest.raises(OutcomeUnknown):
        revision_of(answer)


def test_an_error_of_the_api_says_what_was_asked_for():
    with pytest.raises(ApiError, match=r"cannot make stream s: so \(error 10059\)"):
        document_of(refusal(10059), what="make stream s")
