"""The file of a policy test: its format, and reading it. YAML, so JSON too.

policies: [sensitive_bucket.rego]
request: { user: { id: alice }, bucket: { name: sensitive-bucket } }
tests:
  - name: five in a minute, whichever instances serve them
    steps:
      - { at: 0s, times: 4, expect: allow }
      - { at: +10s, instance: B, expect: allow }
      - { at: +10s, expect: block }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from formal_cluster.errors import ConfigError
from formal_cluster.policy.merge import ACTIONS
from formal_cluster.settings import StageName
from formal_cluster.timeline.moments import moment_ms

SUFFIXES = ("_test.yaml", "_test.yml", "_test.json")
"""How files end that are found in a directory."""
NOTHING = "nothing"
"""Expected of a request that no policy has a result for."""
_MOST_TIMES = 100_000


def _known_action(expected: str | dict[str, Any]) -> str | dict[str, Any]:
    action = expected if isinstance(expected, str) else expected.get("action", NOTHING)
    if action not in {*ACTIONS, NOTHING}:
        raise ValueError(f"{action!r} is no action; one of {', '.join(ACTIONS)}, or {NOTHING}")
    if not expected:
        raise ValueError("say what is expected, for example {action: block}")
    return expected


def _with_unit(at: object) -> object:
    """YAML reads `+10` as 10, which would be another time."""
    if isinstance(at, int | float):
        raise ValueError(f"{at} has no unit; write {at}s, or +{at}s for later")  # noqa: TRY004 - pydantic's
    return at


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Part):
    """One request, or several alike.

    Attributes:
        at: When; see `moments`.
        instance: Which instance is asked. All share their counts, but for those cut off.
        degraded: Whether that instance is cut off from the others.
        user: Short for another `input.user.id`.
        input: Merged into the test's request.
        times: How often it is asked, each time expecting the same.
        expect: The action, or fields that the result has; `{error: code}` for a request refused.
        counts: What the policy sees of counters, by their path in the input, the last time.
    """

    at: Annotated[str, BeforeValidator(_with_unit)] = "+0s"
    instance: Annotated[str, Field(min_length=1)] = "A"
    degraded: bool = False
    stage: StageName = "pre_request"
    user: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    times: Annotated[int, Field(ge=1, le=_MOST_TIMES)] = 1
    expect: Annotated[str | dict[str, Any], AfterValidator(_known_action)]
    counts: dict[str, int] = Field(default_factory=dict)


class Test(_Part):
    """A timeline of its own: it begins with nothing counted."""

    __test__ = False  # nothing for pytest

    name: Annotated[str, Field(min_length=1)]
    request: dict[str, Any] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class _File(_Part):
    policies: tuple[str, ...] = (".",)
    request: dict[str, Any] = Field(default_factory=dict)
    tests: Annotated[tuple[Test, ...], Field(min_length=1)]


@dataclass(frozen=True)
class TestFile:
    """One file of tests.

    Attributes:
        path: As it was named or found.
        policies: What is tested: files, and directories searched for `*.rego`.
        request: What every request has in it, if its test and step do not say otherwise.
        lines: For each test, the line of each of its steps.
        moments: For each test, when each of its steps happens, in milliseconds.
    """

    __test__ = False  # nothing for pytest

    path: Path
    policies: tuple[Path, ...]
    request: Mapping[str, Any]
    tests: tuple[Test, ...]
    lines: tuple[tuple[int, ...], ...]
    moments: tuple[tuple[int, ...], ...]


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and in directories, those whose names end as tests do.

    Raises:
        ConfigError: A path does not exist, or a directory has no test.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES))
            if not inside:
                raise ConfigError(f"{path} has no tests: no file ends in {' or '.join(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{path} does not exist")
    return list(dict.fromkeys(found))


def read_file(path: Path) -> TestFile:
    """Read and check a file of tests.

    Raises:
        ConfigError: It cannot be read, or is none. The message names the line.
    """
    try:
        text = path.read_text()
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {error}") from None
    for line, key in _repeated(tree):
        raise ConfigError(f"{path}:{line}: {key} is there twice")
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        problems = (f"{path}:{_line(tree, e['loc'])}: {_message(e)}" for e in error.errors())
        raise ConfigError("\n".join(dict.fromkeys(problems))) from None
    return TestFile(
        path,
        tuple(path.parent / each for each in file.policies),
        file.request,
        file.tests,
        tuple(tuple(_step_lines(tree, number, test)) for number, test in enumerate(file.tests)),
        tuple(tuple(_moments(path, tree, number, t)) for number, t in enumerate(file.tests)),
    )


def _moments(path: Path, tree: yaml.Node, number: int, test: Test) -> Iterator[int]:
    at = 0
    for line, step in zip(_step_lines(tree, number, test), test.steps, strict=True):
        try:
            at = moment_ms(step.at, at)
        except ValueError as error:
            raise ConfigError(f"{path}:{line}: at: {error}") from None
        yield at


def _step_lines(tree: yaml.Node, number: int, test: Test) -> list[int]:
    return [_line(tree, ("tests", number, "steps", step)) for step in range(len(test.steps))]


def _repeated(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that an object has twice: YAML would take the last one without a word."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _repeated(each)


def _line(node: yaml.Node | None, location: Sequence[int | str]) -> int:
    """The line of a place in the document, or of what it would be in."""
    line = 1
    for step in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            inside = {key.value: (key, value) for key, value in node.value}
            if step not in inside:
                break
            key, node = inside[step]
            line = key.start_mark.line + 1
            continue
        else:
            break
        line = node.start_mark.line + 1
    return line


def _message(error: Any) -> str:
    place = ".".join(str(step) for step in error["loc"] if step not in {"str", "dict[str,any]"})
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such key"
    return f"{place}: {message}" if place else message
