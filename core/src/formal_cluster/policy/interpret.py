"""Which places of `input` a policy may read: an abstract interpretation of its syntax tree.

Every expression is given the set of places in `input` or `data` that it may stand for, through
aliases, iteration, helper rules and calls, until nothing changes any more. The answer errs to one
side only: what it does not list, the policy cannot read. A place that is handed to something
opaque (a built-in function, a literal, the policy's result) is *read whole*, with all below it.

Places are followed for three steps below `input` (entity, counter, window; one more to a window of
a bound). That is all the counters need, and it makes the interpretation end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from formal_cluster.policy.places import (
    OPAQUE,
    UNKNOWN,
    Constant,
    Number,
    Place,
    Places,
    Value,
    union,
)
from formal_cluster.policy.reads import Reads
from formal_cluster.policy.rego import Module, Node
from formal_cluster.policy.syntax import (
    Rule,
    Scope,
    Symbol,
    assigned,
    base_name,
    constant_steps,
    declared_names,
    dynamic_steps,
    imports,
    location,
    pattern_names,
    rules,
    spelling,
    split,
)

_COMPARISONS = {"Gt": ">", "Ge": ">=", "Lt": "<", "Le": "<=", "Eq": "==", "Ne": "!="}
_MIRRORED = {"Gt": "<", "Ge": "<=", "Lt": ">", "Le": ">=", "Eq": "==", "Ne": "!="}

# Built-ins that take no objects, so that calling one on an entity reads none of its counters.
_TEXT_NAMESPACES = {"base64", "glob", "regex", "semver", "time"}
_TEXT_FUNCTIONS = {
    ("net", "cidr_contains"),
    *((name,) for name in ("contains", "endswith", "format_int", "indexof", "lower", "replace")),
    *((name,) for name in ("split", "startswith", "substring", "to_number", "trim", "trim_left")),
    *((name,) for name in ("trim_prefix", "trim_right", "trim_space", "trim_suffix", "upper")),
}


def interpret(modules: Sequence[Module], results: Iterable[Symbol]) -> Reads:
    """What a policy and its libraries read.

    Args:
        modules: The policy and the libraries it may refer to.
        results: Rules whose values leave the policy, so that they are read whole.
    """
    return _Interpreter(modules, frozenset(results)).run()


class _Interpreter:
    def __init__(self, modules: Sequence[Module], results: frozenset[Symbol]) -> None:
        self._imports = {id(module): imports(module) for module in modules}
        self._rules = [rule for module in modules for rule in rules(module)]
        self._places = Places(self._rules, results)
        self._handlers: Mapping[str, Callable[[Node, Scope], Value]] = {
            "Var": self._var,
            "String": self._string,
            "RawString": self._string,
            "Number": self._number,
            "Bool": self._scalar,
            "Null": self._scalar,
            "RefDot": self._dot,
            "RefBrack": self._bracket,
            "Array": self._items,
            "Set": self._items,
            "Object": self._object,
            "ArrayCompr": self._comprehension,
            "SetCompr": self._comprehension,
            "ObjectCompr": self._comprehension,
            "Call": self._call,
            "AssignExpr": self._assign,
            "BoolExpr": self._compare,
            "ArithExpr": self._arithmetic,
            "BinExpr": self._set_operation,
            "UnaryExpr": self._negate,
            "Membership": self._membership,
        }

    def run(self) -> Reads:
        for _ in self._places.rounds():
            for rule in self._rules:
                self._rule(rule)
        return self._places.reads

    # ── rules and queries ────────────────────────────────────────────────────────────────────

    def _rule(self, rule: Rule) -> None:
        self._places.current = rule.symbol
        self._places.reads.defined.setdefault(rule.symbol, rule.location)
        top = Scope(rule.module, rule.body, pattern_names(rule.args))
        for index, arg in enumerate(rule.args):
            self._match(arg, self._places.get((rule.symbol, index)), top)
        bodies = rule.body.get("bodies", ())
        if not bodies:
            self._head(rule, rule.head, top)
        for body in bodies:
            scope = self._query(body["query"], top)
            self._head(rule, body if body["is_else"] else rule.head, scope)

    def _head(self, rule: Rule, head: Node, scope: Scope) -> None:
        for key in (*dynamic_steps(rule.head["refr"]), rule.head.get("key")):
            if key is not None:
                self._places.consume(self._evaluate(key, scope))
        node = assigned(head)
        value = OPAQUE if node is None else self._evaluate(node, scope)
        self._places.give(rule.symbol, value)

    def _query(self, query: Node, parent: Scope) -> Scope:
        scope = Scope(parent.module, query, declared_names(query, parent.module), parent)
        for statement in query["stmts"]:
            kind, literal = split(statement["literal"])
            self._with(statement.get("with_mods", ()), scope)
            if kind in {"Expr", "NotExpr"}:
                self._places.look_at(self._evaluate(literal["expr"], scope))
            elif kind == "SomeIn":
                self._some_in(literal, scope)
            elif kind == "Every":
                self._every(literal, scope)
        return scope

    def _with(self, modifiers: Sequence[Node], scope: Scope) -> None:
        for modifier in modifiers:
            self._places.consume(self._evaluate(modifier["as"], scope))
            if base_name(modifier["refr"]) != "input":
                # It may stand one function in for another, which then gets to see anything.
                at = location(scope.module, modifier)
                self._places.consume(frozenset({Place("input", (), (at,))}))

    def _some_in(self, literal: Node, scope: Scope) -> None:
        kind, body = split(literal["collection"])
        if kind in {"Array", "Set"}:
            members = union(self._evaluate(item, scope) for item in body["items"])
        else:
            members = self._members(literal["collection"], scope)
        self._match(literal["value"], members, scope)
        if literal["key"] is not None:
            self._match(literal["key"], OPAQUE, scope)

    def _every(self, literal: Node, scope: Scope) -> None:
        members = self._members(literal["domain"], scope)
        key, value = (
            spelling(scope.module, span) if span else "_"
            for span in (literal["key"], literal["value"])
        )
        inner = Scope(scope.module, literal, {key, value}, scope)
        self._bind(value, members, inner)
        self._bind(key, OPAQUE, inner)
        self._query(literal["query"], inner)

    def _members(self, node: Node, scope: Scope) -> Value:
        at = location(scope.module, split(node)[1])
        return self._places.extend(self._evaluate(node, scope), None, at)

    # ── variables ────────────────────────────────────────────────────────────────────────────

    def _match(self, pattern: Node, value: Value, scope: Scope) -> None:
        """Bind a variable; any other pattern takes the value apart and so reads it whole."""
        kind, body = split(pattern)
        if kind == "Var":
            self._bind(body["value"], value, scope)
        else:
            self._places.consume(value)
            self._evaluate(pattern, scope)

    def _bind(self, name: str, value: Value, scope: Scope) -> None:
        if name != "_":
            owner = scope.declaring(name) or scope.outermost
            self._places.bind((owner.key, name), value)

    def _var(self, body: Node, scope: Scope) -> Value:
        name: str = body["value"]
        at = location(scope.module, body)
        owner = scope.declaring(name)
        if owner is not None:
            return self._places.get((owner.key, name))
        path = self._imports[id(scope.module)].get(name)
        if path is None and name in {"input", "data"}:
            path = (name,)
        if path is None:
            path = ("data", *scope.module.package, name)
            if not any(self._places.below(path[1:])):
                return self._places.get((scope.outermost.key, name))
        value: Value = frozenset({Place(path[0], (), (at,))})
        for step in path[1:]:
            value = self._places.extend(value, step, at)
        return value

    # ── references ───────────────────────────────────────────────────────────────────────────

    def _dot(self, body: Node, scope: Scope) -> Value:
        span, name = body["field"]
        self._places.reads.constants.add(name)
        return self._places.extend(
            self._evaluate(body["refr"], scope), name, location(scope.module, span)
        )

    def _bracket(self, body: Node, scope: Scope) -> Value:
        return self._index(self._evaluate(body["refr"], scope), body["index"], scope)

    def _index(self, base: Value, index: Node, scope: Scope) -> Value:
        key = self._evaluate(index, scope)
        self._places.use(key)
        names = [item.value for item in key if isinstance(item, Constant)]
        known = len(names) == len(key) > 0 and None not in names
        at = location(scope.module, split(index)[1])
        return union(self._places.extend(base, name, at) for name in (names if known else [None]))

    # ── expressions ──────────────────────────────────────────────────────────────────────────

    def _evaluate(self, node: Node, scope: Scope) -> Value:
        kind, body = split(node)
        return self._handlers[kind](body, scope)

    def _string(self, body: Node, _scope: Scope) -> Value:
        self._places.reads.constants.add(body["value"])
        return frozenset({Constant(body["value"])})

    def _number(self, body: Node, _scope: Scope) -> Value:
        return frozenset({Number(body["value"])})

    def _scalar(self, _body: Node, _scope: Scope) -> Value:
        return OPAQUE

    def _items(self, body: Node, scope: Scope) -> Value:
        for item in body["items"]:
            self._places.consume(self._evaluate(item, scope))
        return OPAQUE

    def _object(self, body: Node, scope: Scope) -> Value:
        for _, key, value in body["fields"]:
            self._places.consume(self._evaluate(key, scope))
            self._places.consume(self._evaluate(value, scope))
        return OPAQUE

    def _comprehension(self, body: Node, scope: Scope) -> Value:
        inner = self._query(body["query"], scope)
        for part in ("term", "key", "value"):
            if part in body:
                self._places.consume(self._evaluate(body[part], inner))
        return OPAQUE

    def _call(self, body: Node, scope: Scope) -> Value:
        callee = self._callee(body["fcn"], scope)
        params: Sequence[Node] = body["params"]
        arity = self._places.arity.get(callee)
        if arity is None:
            at = location(scope.module, body)
            self._places.reads.builtins.add((".".join(callee), at))
            if callee == ("object", "get") and len(params) == 3:
                return self._object_get(params, scope)
        takes_text = arity is None and (callee[0] in _TEXT_NAMESPACES or callee in _TEXT_FUNCTIONS)
        for index, param in enumerate(params):
            value = self._evaluate(param, scope)
            if arity is not None and index < arity:
                self._places.bind((callee, index), value)
            elif takes_text:
                self._places.use(value)
            else:
                self._places.consume(value)
        if arity is None:
            return OPAQUE
        self._places.reads.calls[self._places.current].add(callee)
        return self._places.get(callee)

    def _object_get(self, params: Sequence[Node], scope: Scope) -> Value:
        """`object.get(place, key or path, default)`: a reference with a value for undefined."""
        value = self._evaluate(params[0], scope)
        kind, body = split(params[1])
        for key in body["items"] if kind == "Array" else [params[1]]:
            value = self._index(value, key, scope)
        return value | self._evaluate(params[2], scope)

    def _callee(self, node: Node, scope: Scope) -> Symbol:
        """The full path of the function called, or a built-in's name."""
        base, *rest = constant_steps(node)
        path = self._imports[id(scope.module)].get(base, (base,))
        if path[0] == "data":
            return (*path[1:], *rest)
        local = (*scope.module.package, base, *rest)
        return local if local in self._places.arity else (base, *rest)

    def _assign(self, body: Node, scope: Scope) -> Value:
        lhs, rhs = body["lhs"], body["rhs"]
        value = self._evaluate(rhs, scope)
        if body["op"] == "ColEq":
            self._match(lhs, value, scope)
            return OPAQUE
        # `=` compares, and binds what is not bound yet, on either side. Strings are not taken
        # over: an undeclared variable of that name elsewhere in the rule may be another one.
        left = self._evaluate(lhs, scope)
        self._unify(lhs, left, value, scope)
        self._unify(rhs, value, left, scope)
        return OPAQUE

    def _unify(self, pattern: Node, own: Value, matched: Value, scope: Scope) -> None:
        """Bind `matched` to a pattern that stands for `own` so far."""
        self._places.look_at(matched)
        if own and own != matched:
            self._places.compare(matched, "==", own)
        kind, name = split(pattern)
        places = frozenset(i if isinstance(i, Place) else UNKNOWN for i in matched)
        if kind == "Var" and name["value"] not in {"input", "data"}:
            self._bind(name["value"], places, scope)
        elif kind in {"Array", "Object"}:
            self._places.consume(places)

    def _compare(self, body: Node, scope: Scope) -> Value:
        lhs, rhs = (self._evaluate(body[side], scope) for side in ("lhs", "rhs"))
        self._places.compare(lhs, _COMPARISONS[body["op"]], rhs)
        self._places.compare(rhs, _MIRRORED[body["op"]], lhs)
        return OPAQUE

    def _arithmetic(self, body: Node, scope: Scope) -> Value:
        self._places.use(self._evaluate(body["lhs"], scope))
        return self._places.use(self._evaluate(body["rhs"], scope))

    def _set_operation(self, body: Node, scope: Scope) -> Value:
        self._places.consume(self._evaluate(body["lhs"], scope))
        self._places.consume(self._evaluate(body["rhs"], scope))
        return OPAQUE

    def _negate(self, body: Node, scope: Scope) -> Value:
        return self._places.use(self._evaluate(body["expr"], scope))

    def _membership(self, body: Node, scope: Scope) -> Value:
        for part in ("key", "value", "collection"):
            if body[part] is not None:
                self._places.use(self._evaluate(body[part], scope))
        return OPAQUE
