"""Keys in subjects, and the meaning of messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import ConfigError
from formal_cluster_store_nats.messages import Change, Mark, Subjects, headers_of

SUBJECTS = Subjects("a-stream")


@given(st.binary(max_size=40))
def test_every_key_comes_back_from_its_subject(key):
    subject = SUBJECTS.of_key(key)
    message = SUBJECTS.parse(7, subject, headers_of(write="w"), b"value")
    assert Change(7, key, b"value", None, "w") == message


@given(st.binary(max_size=40))
def test_a_subject_is_one_token_that_nats_takes(key):
    *prefix, token = SUBJECTS.of_key(key).split(".")
    assert ["a-stream", "key"] == prefix
    assert token.isascii()
    assert token.isprintable()
    assert not set(" *>\t") & set(token)


def test_a_deletion_and_a_time_to_live_are_in_the_headers():
    subject = SUBJECTS.of_key(b"k")
    deletion = SUBJECTS.parse(1, subject, headers_of(write="w", deletes=True), b"")
    written = SUBJECTS.parse(2, subject, headers_of(write="w", ttl=0.25), b"v")
    assert (Change(1, b"k", None, None, "w"), Change(2, b"k", b"v", 0.25, "w")) == (
        deletion,
        written,
    )


def test_a_mark_tells_whose_it_is():
    assert Mark(3, "instance-a") == SUBJECTS.parse(3, SUBJECTS.mark, {}, b"instance-a")


@pytest.mark.parametrize("subject", ["a-stream.other", "a-stream.key.k", "elsewhere"])
def test_a_message_of_somebody_else_is_refused_with_the_mend(subject):
    with pytest.raises(ConfigError, match=r"store\.nats\.stream"):
        SUBJECTS.parse(1, subject, {}, b"")
