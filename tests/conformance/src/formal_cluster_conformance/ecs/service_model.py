"""Checks requests and responses against botocore's own model of ECS, in both directions.

botocore's validator knows types, required and unknown members. Enumerations it leaves to the
server, so they are checked here. A response is parsed back by botocore's parser as well: what a
client will see must be what was meant.
"""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

CONTENT_TYPE = "application/x-amz-json-1.1"


class ProtocolViolation(AssertionError):
    """A request (or a response of the server itself) is not what ECS's service model says."""


class ServiceModel:
    """ECS as botocore describes it."""

    def __init__(self) -> None:
        self._model = _loaded()
        self._prefix = self._model.metadata["targetPrefix"]
        self._parser = create_parser(self._model.metadata["protocol"])

    def request(self, target: str, content_type: str, body: bytes) -> tuple[str, dict[str, Any]]:
        """The action that is asked for and its parameters.

        Raises:
            ProtocolViolation: The request is not one of ECS's JSON protocol.
        """
        prefix, _, action = target.partition(".")
        if prefix != self._prefix or action not in self._model.operation_names:
            raise ProtocolViolation(f"X-Amz-Target {target!r} is no action of {self._prefix}")
        if content_type != CONTENT_TYPE:
            raise ProtocolViolation(f"{action}: Content-Type is {content_type!r}")
        try:
            parameters = json.loads(body)
        except ValueError as error:
            raise ProtocolViolation(f"{action}: the body is not JSON: {error}") from error
        _check(f"{action} request", parameters, self._operation(action).input_shape)
        return action, parameters

    def response(self, action: str, document: dict[str, Any]) -> bytes:
        """The body of a response.

        Raises:
            ProtocolViolation: ECS could not have answered that.
        """
        operation = self._operation(action)
        _check(f"{action} response", document, operation.output_shape)
        body = json.dumps(document, default=_as_timestamp).encode()
        answer = {"body": body, "headers": {}, "status_code": 200}
        parsed = self._parser.parse(answer, operation.output_shape)
        del parsed["ResponseMetadata"]
        if parsed != document:
            raise ProtocolViolation(f"{action} response: a client would see {parsed}")
        return body

    def _operation(self, action: str) -> OperationModel:
        return self._model.operation_model(action)


@functools.cache
def _loaded() -> Any:
    """Loaded once for all servers: it takes a while."""
    return botocore.session.get_session().get_service_model("ecs")


def _check(what: str, value: object, shape: Shape) -> None:
    report = ParamValidator().validate(value, shape)
    problems = [report.generate_report()] if report.has_errors() else _outside_enums(value, shape)
    if problems:
        raise ProtocolViolation(f"{what}: {'; '.join(problems)}")


def _outside_enums(value: Any, shape: Shape) -> list[str]:
    if shape.type_name == "structure":
        return [
            problem
            for name, member in shape.members.items()
            if name in value
            for problem in _outside_enums(value[name], member)
        ]
    if shape.type_name == "list":
        return [problem for item in value for problem in _outside_enums(item, shape.member)]
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        return [f"{value!r} is none of {shape.enum}"]
    return []


def _as_timestamp(value: object) -> float:
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} cannot be part of a response")
