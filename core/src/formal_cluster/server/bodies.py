"""Request bodies: from bytes to a policy input, refusing what could hurt the interpreter.

Rego's interpreter converts the input recursively in native code, so depth is bounded before it
gets there; size is bounded before that by the server.
"""

from __future__ import annotations

from typing import Any

import msgspec

from formal_cluster.errors import InputError


class _Envelope(msgspec.Struct):
    input: Any = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Envelope)


def parse_input(body: bytes, *, max_depth: int) -> dict[str, Any]:
    """The `input` object of a Data API request body.

    Raises:
        InputError: Not JSON, no `input`, not an object, or nested deeper than `max_depth`.
    """
    if not body.strip():
        raise InputError('the body is empty; send {"input": {…}}', code="empty_body")
    try:
        document = _decoder.decode(body).input
    except RecursionError:
        raise _too_deep(max_depth) from None
    except msgspec.ValidationError as error:
        raise InputError(
            f'the body is not an object ({error}); send {{"input": {{…}}}}', code="not_an_object"
        ) from None
    except msgspec.DecodeError as error:
        raise InputError(f"the body is not JSON: {error}", code="not_json") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8: {error}", code="not_json") from None
    if document is msgspec.UNSET:
        raise InputError('the body has no "input"; send {"input": {…}}', code="no_input")
    if not isinstance(document, dict):
        raise InputError(
            f'"input" must be an object, not {type(document).__name__}', code="input_not_an_object"
        )
    check_depth(document, max_depth)
    return document


def check_depth(document: Any, max_depth: int) -> None:
    """Refuse values nested deeper than `max_depth`, without recursion of our own.

    Raises:
        InputError: It is nested deeper.
    """
    level: list[Any] = [document]
    for _ in range(max_depth):
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list | tuple)
        ]
        if not level:
            return
    raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> InputError:
    return InputError(
        f"the input is nested deeper than {max_depth} (server.max_depth)", code="too_deep"
    )
