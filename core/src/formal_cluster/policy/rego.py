"""The one file that knows regorus: parsing, preparing and evaluating Rego.

Hazards of the library, all met here:

- An engine belongs to the thread that made it. Any other thread's call panics with an exception
  that is no `Exception`; a panic may leave the engine broken, so it is never used again.
- Errors are plain `RuntimeError`, with a native backtrace appended when RUST_BACKTRACE is set.
- Its conversion of Python objects crashes the process on deep nesting and on lone surrogates.
  Input therefore goes in as JSON, which costs under a microsecond more and fails cleanly.
- Its virtual machine (`Rvm`) answers "undefined" where rules conflict, which would let an access
  through: only the interpreter is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec
import regorus

from formal_cluster.errors import InputError, PolicyEvaluationError
from formal_cluster.policy.findings import Finding
from formal_cluster.policy.sources import Source

Node = dict[str, Any]
"""A node of the syntax tree, as the parser prints it."""

_MAX_DEPTH = 400  # of the printed tree: more than a hundred terms in one sum
_TOO_DEEP = "an expression is too long or nested too deeply; give names to its parts"

_V1_KEYWORDS = {"if", "in", "contains", "every"}
_POSITION = re.compile(r"--> (?P<file>.*):(?P<line>\d+):(?P<column>\d+)\n")
_UNDEFINED = '"<undefined>"'
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Module:
    """A parsed file.

    Attributes:
        package: Its package's path below `data`, e.g. ("formal", "v2").
        tree: Its syntax tree, a hundred times as large as its text; empty after the analysis.
        v0: Whether it only parses as Rego v0.
    """

    source: Source
    package: tuple[str, ...]
    tree: Node
    v0: bool

    def without_tree(self) -> Module:
        """What evaluation needs of it."""
        return replace(self, tree={})


def parse(source: Source) -> Module | Finding:
    """Parse a file as Rego v1, or else as v0."""
    failures = []
    for v0 in (False, True):
        engine = regorus.Engine()
        engine.set_rego_v0(v0)
        try:
            engine.add_policy(source.path, source.text)
            tree = _decode(engine.get_ast_as_json())[0]["ast"]
        except RecursionError:
            return Finding(source.path, _TOO_DEEP)
        except RuntimeError as error:
            failures.append(_finding(error, (source,)))
        else:
            if _depth(tree) > _MAX_DEPTH:
                return Finding(source.path, _TOO_DEEP)
            if not (v0 and _has_keyword_rules(tree)):
                return Module(source, _package(tree), tree, v0)
    # The dialect that the author meant is the one that got further.
    return max(failures, key=lambda finding: (isinstance(finding.where, tuple), finding.where))


class Engine:
    """One policy with its libraries, ready to be evaluated by the thread that made it."""

    __slots__ = ("_engine",)

    def __init__(self, modules: Iterable[Module]) -> None:
        engine = regorus.Engine()
        for module in modules:
            engine.set_rego_v0(module.v0)
            engine.add_policy(module.source.path, module.source.text)
        self._engine = engine

    def prepare(self, sources: Iterable[Source]) -> Finding | None:
        """Make the interpreter plan every rule, without running any.

        Returns:
            What it refuses, for example a variable that nothing binds.
        """
        try:
            self._engine.eval_query("true")
        except RuntimeError as error:
            return _finding(error, sources)
        return None

    def evaluate(self, rule: str, document: str) -> Any:
        """The value of a rule for an input in JSON; None when it is undefined.

        Raises:
            InputError: The input is nested too deeply.
            PolicyEvaluationError: The rule failed, or the engine did.
        """
        try:
            self._engine.set_input_json(document)
        except RuntimeError as error:
            raise InputError(
                f"the input cannot be read by policies ({clean(error)}); make it flatter",
                code="input_unreadable",
            ) from error
        except BaseException as error:
            raise _panic(error) from error
        try:
            value = self._engine.eval_rule_as_json(rule)
        except RuntimeError as error:
            raise PolicyEvaluationError(_one_line(clean(error))) from error
        except BaseException as error:
            raise _panic(error) from error
        return None if value == _UNDEFINED else _decode(value)


@lru_cache(maxsize=1024)
def is_builtin(name: str) -> bool:
    """Whether the engine has a function of this name, in either dialect.

    It says so only when a call is reached, so one is made, without arguments.
    """
    for v0 in (False, True):
        engine = regorus.Engine()
        engine.set_rego_v0(v0)
        try:
            engine.eval_query(f"{name}()")
        except RuntimeError as error:
            if "could not find function" in clean(error):
                continue
        return True
    return False


def encode_input(document: object) -> str:
    """An input document as JSON. NaN and infinity become null, as JSON has neither.

    Raises:
        InputError: It holds something that JSON has no form for.
    """
    try:
        return _encode(document).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"the input is not JSON: {error}; pass objects, arrays, strings, numbers, booleans "
            "and null only",
            code="input_not_json",
        ) from error


def clean(error: BaseException) -> str:
    """An error's text without the native backtrace."""
    return str(error).partition("\n\nStack backtrace:")[0].strip()


class EnginePanicked(PolicyEvaluationError):
    """The native engine panicked; it must not be used again."""


def _panic(error: BaseException) -> EnginePanicked:
    """Turn the library's panic into an error of ours; anything else goes on its way.

    The class cannot be imported, so it is recognised by its module.
    """
    if type(error).__module__ != "pyo3_runtime":
        raise error
    return EnginePanicked(f"the policy engine panicked: {_one_line(clean(error))}")


def _one_line(message: str) -> str:
    """`--> file:line:col … error: text` as `file:line:col: text`."""
    match = _POSITION.search(message)
    if match is None:
        return " ".join(message.split())
    return f"{match['file']}:{match['line']}:{match['column']}: {_first_line(message)}"


def _first_line(message: str) -> str:
    """What went wrong, without the excerpts around it."""
    return message.rpartition("error: ")[2].partition("\n")[0]


def _finding(error: RuntimeError, sources: Iterable[Source]) -> Finding:
    message = clean(error)
    match = _POSITION.search(message)
    text = _first_line(message)
    for source in sources:
        if match is not None and match["file"] == source.path:
            return source.finding(source.at_column(int(match["line"]), int(match["column"])), text)
        if match is None:
            return Finding(source.path, text)
    return Finding(match["file"] if match else "policy", text)


def _depth(tree: object) -> int:
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(node, dict):
            waiting.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            waiting.extend((child, depth + 1) for child in node)
    return deepest


def _has_keyword_rules(tree: Node) -> bool:
    """Whether v0 has taken v1's keywords for the names of rules, which changes the meaning."""
    heads = [rule.get("Spec", {}).get("head", {}) for rule in tree["rules"]]
    return any(_steps(body["refr"])[0] in _V1_KEYWORDS for head in heads for body in head.values())


def _package(tree: Node) -> tuple[str, ...]:
    return tuple(_steps(tree["package"]["refr"]))


def _steps(node: Node) -> list[str]:
    """The names in a reference that has names only, or that matters for its first one only."""
    ((kind, body),) = node.items()
    if kind == "Var":
        return [body["value"]]
    name = body["field"][1] if kind == "RefDot" else body["index"].get("String", {}).get("value")
    return [*_steps(body["refr"]), name]
