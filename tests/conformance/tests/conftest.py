"""Fixtures of the suite's own tests."""

from pathlib import Path

import pytest


@pytest.fixture
def repository():
    """The root of this repository."""
    return Path(__file__).parents[3]
