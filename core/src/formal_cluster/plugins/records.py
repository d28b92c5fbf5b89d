"""What is known of one installed plugin."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from importlib.metadata import EntryPoint

from formal_cluster.errors import PluginError


class PluginStatus(enum.StrEnum):
    """How far a plugin got."""

    AVAILABLE = "available"
    """Installed, not imported: the settings do not choose it."""
    LOADED = "loaded"
    FAILED = "failed"
    """It could not be imported or breaks a rule of `hookspecs`."""
    DENIED = "denied"
    """`plugins.deny` names it, so it is never imported."""
    CLASH = "clash"
    """Several distributions claim its name, so none of them is used."""
    SHADOWED = "shadowed"
    """Another copy of its distribution comes first on the import path."""
    INCOMPATIBLE = "incompatible"
    """It speaks another version of the hook API."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of one distribution.

    Attributes:
        name: The driver's name.
        detail: Why it cannot be used; empty if it can.
        mend: What to do about that.
    """

    family: str
    name: str
    distribution: str
    version: str
    entry_point: EntryPoint
    status: PluginStatus = PluginStatus.AVAILABLE
    detail: str = ""
    mend: str = ""

    @property
    def id(self) -> str:
        """`family:name`, the name it is registered and denied by."""
        return f"{self.family}:{self.name}"

    @property
    def origin(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}"

    def to_json(self) -> dict[str, str]:
        """The record for programs."""
        return {
            "family": self.family,
            "name": self.name,
            "status": self.status.value,
            "distribution": self.distribution,
            "version": self.version,
            "entry_point": self.entry_point.value,
            "detail": self.detail,
            "mend": self.mend,
        }


class NoDriver(PluginError):
    """A driver cannot be had.

    Attributes:
        what: What stands against it.
        mend: What to do about that.
    """

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}")
        self.what = what
        self.mend = mend


class UnusablePlugin(NoDriver):
    """The plugin that provides the driver cannot be used; `plugin` has reason and mend too."""

    def __init__(self, plugin: Plugin) -> None:
        super().__init__(
            f"{plugin.family} driver {plugin.name!r} of {plugin.origin} cannot be used: "
            f"{plugin.detail}",
            plugin.mend,
        )
        self.plugin = plugin
