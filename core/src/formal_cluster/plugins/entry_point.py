"""Load one entry point: the only module that touches stevedore, and all that is used of it.

stevedore loads the one entry point it is given. Its own scan, its cache and its choice between
equal names are never reached (`scan.py` says why), nor are `DriverManager`, which hands out the
class in place of an object that is falsy, and the managers that import every plugin of a group
before they can be told which one is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NoReturn

from stevedore.extension import ExtensionManager

_CORE: Final = "formal-cluster"
_PACKAGE: Final = "formal_cluster"


class Unloadable(Exception):
    """Loading an entry point failed.

    Attributes:
        detail: How.
        mend: What to do about it; None if the plugin's authors have to do it.
    """

    def __init__(self, detail: str, mend: str | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


def load(entry_point: EntryPoint, distribution: str) -> object:
    """What the entry point names.

    Raises:
        Unloadable: Importing it failed, for whatever reason.
    """
    try:
        (extension,) = _OneEntryPoint(entry_point).extensions
        named: object = extension.plugin
    except ImportError as error:
        raise Unloadable(shown(error), _import_mend(distribution, error)) from error
    except (Exception, SystemExit) as error:
        raise Unloadable(f"importing it raised {shown(error)}", None) from error
    return named


def shown(error: BaseException) -> str:
    """An error as messages about plugins name it."""
    return f"{type(error).__name__}: {error}"


def stevedore_cache_is_stale(groups: Iterable[str]) -> bool:
    """Whether stevedore's own scan, which we do not use, misses or invents an entry point.

    Asking it fills its cache on disk if that is empty, as any use of stevedore does.
    """
    for group in groups:
        scan = ExtensionManager[object].make_test_instance([], namespace=group)
        cached = {(entry.name, entry.value) for entry in scan.list_entry_points()}
        if cached != {(entry.name, entry.value) for entry in entry_points(group=group)}:
            return True
    return False


class _OneEntryPoint(ExtensionManager[object]):
    """stevedore's manager, given its entry point instead of scanning for it."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self._entry_point = entry_point
        super().__init__(entry_point.group, on_load_failure_callback=_raise)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry_point]


def _raise(_manager: object, _entry_point: EntryPoint, error: BaseException) -> NoReturn:
    raise error


def _import_mend(distribution: str, error: ImportError) -> str:
    if (error.name or "").partition(".")[0] == _PACKAGE and distribution != _CORE:
        return f"install a version of {distribution} made for this formal-cluster"
    return f"reinstall it with what it needs: pip install --force-reinstall {distribution}"
