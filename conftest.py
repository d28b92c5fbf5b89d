"""What all tests have in common: their outcomes depend neither on dice nor on the shell."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# The same examples each time, however long they take. New ones are looked for by
# `pytest --hypothesis-profile=search`.
settings.register_profile(
    "repeat", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile("repeat")


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: what a shell runs in the background ignores
    it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
