"""Request bodies: what is refused before it reaches the interpreter."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import InputError
from formal_cluster.server.bodies import check_depth, parse_input

DEPTH = 16
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"   ", "empty_body"),
        (b"{", "not_json"),
        (b"not json", "not_json"),
        (b'{"input": {"a": "\xff"}}', "not_json"),
        (b"[1, 2]", "not_an_object"),
        (b"{}", "no_input"),
        (b'{"inputs": {}}', "no_input"),
        (b'{"input": null}', "input_not_an_object"),
        (b'{"input": [1]}', "input_not_an_object"),
        (b'{"input": "alice"}', "input_not_an_object"),
    ],
)
def test_a_malformed_body_is_refused_with_its_own_code(body: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(body, max_depth=DEPTH)
    assert code == caught.value.code


@pytest.mark.parametrize("levels", [DEPTH + 1, 1_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_at_any_depth(levels: int, opening: str, closing: str) -> None:
    inner = opening * levels + "1" + closing * levels
    with pytest.raises(InputError) as caught:
        parse_input(b'{"input": {"x": ' + inner.encode() + b"}}", max_depth=DEPTH)
    assert "too_deep" == caught.value.code


def test_the_deepest_allowed_nesting_is_accepted() -> None:
    inner: object = 1
    for _ in range(DEPTH - 1):
        inner = [inner]
    document = {"x": inner}
    check_depth(document, DEPTH)
    with pytest.raises(InputError):
        check_depth({"y": document}, DEPTH)


@given(DOCUMENTS)
def test_any_shallow_object_arrives_as_it_was_sent(document: dict[str, object]) -> None:
    body = json.dumps({"input": document}).encode()
    assert document == parse_input(body, max_depth=64)
