"""Whether a plugin keeps the rules of `hookspecs`, found out before anything of it is called. Pure.

pluggy itself checks argument names only. It accepts a hook that nobody will ever call because its
name is misspelt, silently leaves out arguments that have a default, and takes coroutine functions
although it cannot await them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formal_cluster.hookspecs import FAMILIES, Family
from formal_cluster.settings_file.check import did_you_mean

_CALLED_LATER: Mapping[str, Callable[[Any], bool]] = {
    "a coroutine function": inspect.iscoroutinefunction,
    "an async generator": inspect.isasyncgenfunction,
    "a generator": inspect.isgeneratorfunction,
}
_HOOK_NAMES = [hook for f in FAMILIES.values() for hook in (f.settings_hook, f.create_hook)]


@dataclass(frozen=True, slots=True)
class Implementation:
    """One function that a plugin has marked with `hookimpl`.

    Attributes:
        attribute: Its name in the plugin.
        hook: The hook it implements, usually the same.
        is_wrapper: It wants to run around other implementations.
        is_optional: It may name a hook that does not exist.
    """

    attribute: str
    hook: str
    function: Callable[..., Any]
    is_wrapper: bool = False
    is_optional: bool = False


def broken_rules(
    plugin: object, family: Family, implementations: Sequence[Implementation]
) -> list[str]:
    """The rules that a plugin breaks, each as a clause; none if it may be registered."""
    problems: list[str] = []
    if not isinstance(plugin, Hashable):
        problems.append(f"{type(plugin).__name__} is not hashable; pluggy keeps plugins in sets")
    for implementation in implementations:
        if implementation.hook in (family.settings_hook, family.create_hook):
            problems += _function_problems(implementation, family)
        elif implementation.hook not in _HOOK_NAMES and not implementation.is_optional:
            name = implementation.hook
            problems.append(f"there is no hook {name}{did_you_mean(name, _HOOK_NAMES)}")
    implemented = {implementation.hook for implementation in implementations}
    for hook in (family.settings_hook, family.create_hook):
        if hook not in implemented:
            is_unmarked = callable(getattr(plugin, hook, None))
            problems.append(
                f"{hook} lacks the decorator @hookimpl" if is_unmarked else f"it has no hook {hook}"
            )
    return problems


def _function_problems(implementation: Implementation, family: Family) -> Iterator[str]:
    name, function = implementation.attribute, inspect.unwrap(implementation.function)
    for kind, is_kind in _CALLED_LATER.items():
        if is_kind(function):
            yield f"{name} is {kind}; make it a plain function that returns at once"
    if implementation.is_wrapper:
        yield f"{name} is a wrapper, but hooks are called on one plugin alone"
    yield from _argument_problems(implementation, family)


def _argument_problems(implementation: Implementation, family: Family) -> Iterator[str]:
    name = implementation.attribute
    _self, *wanted = inspect.signature(getattr(family.spec, implementation.hook)).parameters
    taken = inspect.signature(implementation.function).parameters
    for argument in wanted:
        if argument not in taken:
            yield f"{name} does not take the argument {argument}"
    for argument, parameter in taken.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue  # never filled by pluggy, and no harm
        if argument not in wanted:
            yield f"{name} takes {argument}, which the hook does not have"
        elif parameter.default is not parameter.empty:
            yield f"{name} gives {argument} a default; then it would never be passed"
        elif parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            yield f"{name} must take {argument} as a plain argument"


def missing_from_protocol(driver: object, protocol: type) -> list[str]:
    """What an object lacks or has wrong to be a driver of the protocol, each as a clause."""
    if inspect.isclass(driver):
        return [f"it is the class {driver.__name__}, not an instance of it"]
    problems = []
    members = {k: v for k, v in vars(protocol).items() if not k.startswith("_")}
    for name, expected in members.items():
        if inspect.getattr_static(driver, name, None) is None and not hasattr(driver, name):
            problems.append(f"{name} is missing")
        elif inspect.isfunction(expected):
            method = getattr(driver, name)
            if not callable(method):
                problems.append(f"{name} is not a method")
            elif inspect.iscoroutinefunction(method) and not inspect.iscoroutinefunction(expected):
                problems.append(f"{name} must not be a coroutine function")
    return problems
