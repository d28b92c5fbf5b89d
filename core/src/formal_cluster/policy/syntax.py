"""The shape of the parser's syntax tree: rules, imports, patterns, names and their positions.

Every node is `{kind: body}`, and a body has a `span`. Its byte offsets are used, as its columns
count tabs as four; they are right for names, strings, references and rules, and lie within an
array's or object's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from formal_cluster.policy.findings import Location
from formal_cluster.policy.rego import Module, Node

Symbol: TypeAlias = tuple[str, ...]
"""A rule's path below `data`, e.g. ("formal", "v2", "pre_request")."""


@dataclass(frozen=True)
class Rule:
    """One definition of a rule or function, with all its `else` branches.

    Attributes:
        body: The rule's node; it has `bodies` unless it is a default.
        head: Has `assign` (or, for a default, `value`), or the `key` of a set.
        complete: Whether its value is the head's value, not a part of a set or an object.
        function: Whether it is called rather than referred to.
    """

    symbol: Symbol
    module: Module
    body: Node
    head: Node
    args: Sequence[Node]
    complete: bool
    function: bool

    @property
    def location(self) -> Location:
        """Where the definition begins."""
        return location(self.module, self.body)

    @property
    def values(self) -> Iterator[Node]:
        """The expressions written for its value."""
        for head in (self.head, *(b for b in self.body.get("bodies", ()) if b["is_else"])):
            value = assigned(head)
            if value is not None:
                yield value


class Scope:
    """The variables that one query declares; Rego's scopes are those of its queries."""

    __slots__ = ("key", "module", "names", "parent")

    def __init__(
        self, module: Module, node: object, names: Iterable[str], parent: Scope | None = None
    ) -> None:
        self.module = module
        self.key = id(node)
        self.names = frozenset(names)
        self.parent = parent

    def declaring(self, name: str) -> Scope | None:
        """The innermost scope that declares `name`."""
        scope: Scope | None = self
        while scope is not None and name not in scope.names:
            scope = scope.parent
        return scope

    @property
    def outermost(self) -> Scope:
        """The scope of the rule itself, which owns what is not declared anywhere."""
        return self if self.parent is None else self.parent.outermost


def split(node: Node) -> tuple[str, Any]:
    """A node's kind and body."""
    ((kind, body),) = node.items()
    return kind, body


def location(module: Module, body: Node) -> Location:
    """Where a node begins."""
    offset: int = body.get("span", body)["start"]
    return module.source.at_offset(offset)


def spelling(module: Module, span: Node) -> str:
    """The name that a bare span stands for."""
    return module.source.slice(span["start"], span["end"])


def rules(module: Module) -> Iterator[Rule]:
    """The definitions of a file, in order."""
    for rule in module.tree["rules"]:
        kind, body = split(rule)
        head_kind, head = ("Default", body) if kind == "Default" else split(body["head"])
        symbol = (*module.package, *constant_steps(head["refr"]))
        complete = head_kind != "Set" and not any(dynamic_steps(head["refr"]))
        function = head_kind == "Func"
        yield Rule(symbol, module, body, head, head.get("args") or (), complete, function)


def assigned(head: Node) -> Node | None:
    """The value a head or an `else` assigns; None when it is just `true`."""
    value: Node | None = (head.get("assign") or head).get("value")
    return value


def imports(module: Module) -> dict[str, Symbol]:
    """The name each import brings and its full path, which begins with `input` or `data`."""
    names: dict[str, Symbol] = {}
    for node in module.tree.get("imports", ()):
        path = constant_steps(node["refr"])
        if path[0] in {"input", "data"}:
            alias = spelling(module, node["as"]) if node.get("as") else path[-1]
            names[alias] = tuple(path)
    return names


def constant_steps(node: Node) -> list[str]:
    """The steps of a reference up to the first that is not written out."""
    kind, body = split(node)
    if kind == "Var":
        return [body["value"]]
    steps = constant_steps(body["refr"])
    if any(dynamic_steps(body["refr"])):
        return steps
    if kind == "RefDot":
        return [*steps, body["field"][1]]
    index = body["index"].get("String")
    return [*steps, index["value"]] if index else steps


def dynamic_steps(node: Node | None) -> Iterator[Node]:
    """The bracketed expressions of a reference that are not plain strings."""
    while node is not None:
        kind, body = split(node)
        if kind == "RefBrack" and "String" not in body["index"]:
            yield body["index"]
        node = body.get("refr")


def base_name(node: Node) -> str | None:
    """The variable that a reference begins with; None when it begins with something else."""
    kind, body = split(node)
    if kind == "Var":
        name: str = body["value"]
        return name
    return base_name(body["refr"]) if "refr" in body else None


def declared_names(query: Node, module: Module) -> Iterator[str]:
    """The variables that a query declares with `some` and `:=`."""
    for statement in query["stmts"]:
        kind, literal = split(statement["literal"])
        if kind == "SomeVars":
            yield from (spelling(module, span) for span in literal["vars"])
        elif kind == "SomeIn":
            yield from pattern_names(p for p in (literal["key"], literal["value"]) if p)
        elif kind == "Expr" and literal["expr"].get("AssignExpr", {}).get("op") == "ColEq":
            yield from pattern_names([literal["expr"]["AssignExpr"]["lhs"]])


def pattern_names(patterns: Iterable[Node]) -> Iterator[str]:
    """The variables in patterns such as `x`, `[x, y]` and `{"key": x}`."""
    for pattern in patterns:
        kind, body = split(pattern)
        if kind == "Var":
            yield body["value"]
        elif kind == "Array":
            yield from pattern_names(body["items"])
        elif kind == "Object":
            yield from pattern_names(value for _, _, value in body["fields"])
