"""Where each setting came from: the file and line, an environment variable, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from formal_cluster.settings_file.env import KeyPath, Variable
from formal_cluster.settings_file.lines import key_lines


@dataclass(frozen=True)
class Sources:
    """Where the settings of one process were read from.

    Attributes:
        file: The file, if there was one.
        text: Its content, valid TOML.
        variables: The environment variables that are settings, by the key that they set.
    """

    file: Path | None = None
    text: str = ""
    variables: Mapping[KeyPath, Variable] = field(default_factory=dict)

    def variable(self, path: KeyPath) -> Variable | None:
        """The variable that sets the key, or a table or array around it."""
        return next((self.variables[key] for key in _outwards(path) if key in self.variables), None)

    def is_from_file(self, path: KeyPath) -> bool:
        """Whether the key is written in the file and no variable overrides it."""
        return path in self._lines and self.variable(path) is None

    def where(self, path: KeyPath) -> str | None:
        """The variable that sets the key, or `file:line` of it or of the table it belongs into.

        None if neither the environment nor the file mentions it.
        """
        if variable := self.variable(path):
            return variable.name
        line = next((self._lines[key] for key in _outwards(path) if key in self._lines), None)
        return None if line is None else f"{self.file}:{line}"

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return key_lines(self.text)


def _outwards(path: KeyPath) -> list[KeyPath]:
    return [path[:length] for length in range(len(path), 0, -1)]
