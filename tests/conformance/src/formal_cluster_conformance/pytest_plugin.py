"""The suite as pytest tests: one test for each rule, and a report.

An author's `test_conformance.py`:

    from formal_cluster_conformance.pytest_plugin import conformance_of

    test_rule = conformance_of("my_package.conformance:DECLARATION", "state", "counters")

Options: `--conformance-full` (default: quick), `--conformance-seed`, `--conformance-report`, a
directory. Rules that pytest deselects or skips lower the level in the report, as does a test that
was made by anything else than `conformance_of`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from formal_cluster_conformance.declaration import StoreDeclaration
    from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration
    from formal_cluster_conformance.results import Outcome
    from formal_cluster_conformance.running import Run

    Declaration = str | StoreDeclaration | DiscoveryDeclaration

_MOST_SEEDS = 2**32
_SECONDS_BESIDES = 60
_GOOD = ("passed", "undeclared")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    group = parser.getgroup("conformance", "conformance of formal-cluster drivers")
    group.addoption(
        "--conformance-full", action="store_true", help="Try as much as the full run does."
    )
    group.addoption("--conformance-seed", type=int, help="Repeat a run's dice.")
    group.addoption("--conformance-report", type=Path, help="A directory for the reports.")


def pytest_configure(config: pytest.Config) -> None:
    """Our marks: without pytest-timeout this one means nothing, and is no error."""
    config.addinivalue_line("markers", "timeout(seconds): how long a rule may take at most")


class _Session:
    """One declaration's rules, tried one by one, on an event loop that lasts for all of them."""

    def __init__(
        self, declaration: Declaration, profiles: tuple[str, ...], config: pytest.Config
    ) -> None:
        from formal_cluster_conformance.find import find
        from formal_cluster_conformance.running import run_of

        given = config.getoption("--conformance-seed")
        seed = random.SystemRandom().randrange(_MOST_SEEDS) if given is None else given
        self.profiles = profiles
        self.directory: Path | None = config.getoption("--conformance-report")
        self.run: Run = run_of(
            find(declaration) if isinstance(declaration, str) else declaration,
            seed=seed,
            quick=not config.getoption("--conformance-full"),
        )
        self.outcomes: dict[str, Outcome] = {}
        self._runner = asyncio.Runner()

    def attempt(self, id_: str) -> Outcome:
        from formal_cluster_conformance.rules import catalogue

        rule = next(rule for rule in catalogue() if rule.id == id_)
        self.outcomes[id_] = outcome = self._runner.run(self.run.attempt(rule))
        return outcome

    def close(self) -> None:
        from formal_cluster_conformance.report.document import document
        from formal_cluster_conformance.report.files import write
        from formal_cluster_conformance.rules import Profile
        from formal_cluster_conformance.running import summed_up

        self._runner.run(self.run.close())
        self._runner.close()
        if self.directory is not None:
            results = summed_up(self.run, [Profile(name) for name in self.profiles], self.outcomes)
            write(document(results), self.directory / f"{results.subject}.json")


@pytest.fixture(scope="module")
def conformance_sessions(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[Declaration, tuple[str, ...]], _Session]]:
    """The sessions of a module's tests, by declaration and profiles."""
    sessions: dict[tuple[Declaration, tuple[str, ...]], _Session] = {}

    def session(declaration: Declaration, profiles: tuple[str, ...]) -> _Session:
        if (declaration, profiles) not in sessions:
            sessions[declaration, profiles] = _Session(declaration, profiles, request.config)
        return sessions[declaration, profiles]

    yield session
    for each in sessions.values():
        each.close()


def conformance_of(declaration: Declaration, *profiles: str) -> Callable[..., None]:
    """A test function with one case for each rule of the profiles.

    Args:
        declaration: Its name, or `package.module:attribute`, or itself.
        profiles: Default: every profile for stores.
    """
    from formal_cluster_conformance.rules import PROFILES_OF, Profile, catalogue

    wanted = tuple(profiles) or tuple(map(str, PROFILES_OF["store"]))
    rules = [rule for name in wanted for rule in catalogue(Profile(name))]
    cases = pytest.mark.parametrize(
        "rule_id",
        [
            pytest.param(
                rule.id,
                id=rule.id,
                marks=pytest.mark.timeout(rule.deadline_s + _SECONDS_BESIDES),
            )
            for rule in rules
        ],
    )

    def test_rule(conformance_sessions: Any, rule_id: str) -> None:
        outcome = conformance_sessions(declaration, wanted).attempt(rule_id)
        if outcome.status == "skipped":
            pytest.skip(outcome.detail)
        if outcome.status not in _GOOD:
            pytest.fail(
                f"{rule_id} {outcome.status}: {outcome.rule.text}\n{outcome.detail}\n"
                f"{outcome.timeline}",
                pytrace=False,
            )

    return cast("Callable[..., None]", cases(test_rule))
