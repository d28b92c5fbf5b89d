"""What a built wheel and a built sdist have to have in them, and must not have.

Pure: files in, problems out. Whether their README renders is for twine to say (`building`).
"""

from __future__ import annotations

import configparser
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from tools.release_check.workspace import PRIVATE, Distribution

PRIVATE_CLASSIFIER = "Private :: Do Not Upload"
"""An index refuses what carries it, whoever runs the upload."""
CLASSIFIERS = (
    "Development Status :: 4 - Beta",
    "Framework :: AsyncIO",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Typing :: Typed",
)
LICENSE = "Apache-2.0"
PYTHON = ">=3.11"

_SHORTEST_README = 500
_RELATIVE_LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")

Files = Mapping[str, bytes]
"""The files of an archive, by name."""


def read(archive: Path) -> Files:
    """The files of a wheel or of an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(archive) as sdist:
        return {
            member.name: content.read()
            for member in sdist.getmembers()
            if member.isfile() and (content := sdist.extractfile(member)) is not None
        }


def wheel_problems(ours: Distribution, wheel: Files, licence: bytes) -> Iterator[str]:
    """What is wrong with a wheel; `licence` is the text that has to be in it."""
    info = f"{ours.package}-{ours.version}.dist-info"
    strangers = sorted({name.partition("/")[0] for name in wheel} - {ours.package, info})
    if strangers:
        yield f"it installs {', '.join(strangers)} beside its package {ours.package}"
    if f"{ours.package}/py.typed" not in wheel:
        yield f"{ours.package}/py.typed is missing: its types would not be seen"
    if wheel.get(f"{info}/licenses/LICENSE") != licence:
        yield "the licence is missing, or another one than the repository's"
    yield from _entry_point_problems(wheel, wheel.get(f"{info}/entry_points.txt", b"").decode())
    yield from metadata_problems(ours, message_from_bytes(wheel[f"{info}/METADATA"]))


def metadata_problems(ours: Distribution, metadata: Message) -> Iterator[str]:
    """What is wrong with what an index would show."""
    expected = {
        "Name": ours.name,
        "Version": ours.version,
        "License-Expression": LICENSE,
        "Requires-Python": PYTHON,
        "Description-Content-Type": "text/markdown",
    }
    for field, value in expected.items():
        if metadata[field] != value:
            yield f"{field} is {metadata[field]!r}, not {value!r}"
    if not metadata["Summary"]:
        yield "it has no summary; set `description` in its pyproject.toml"
    classifiers = metadata.get_all("Classifier", [])
    for classifier in CLASSIFIERS:
        if classifier not in classifiers:
            yield f"the classifier {classifier!r} is missing"
    if (PRIVATE_CLASSIFIER in classifiers) != (ours.name in PRIVATE):
        is_not = "is not" if ours.name not in PRIVATE else "is"
        yield f"it {is_not} private, and its classifier {PRIVATE_CLASSIFIER!r} says otherwise"
    for required in metadata.get_all("Requires-Dist", []):
        if "@" in required:
            yield f"it requires {required}, which is not on an index"
    yield from _readme_problems(str(metadata.get_payload()))


def sdist_problems(ours: Distribution, sdist: Files, wheel: Files) -> Iterator[str]:
    """What is wrong with an sdist, whose wheel is known."""
    top = f"{ours.package}-{ours.version}"
    if strangers := sorted(name for name in sdist if not name.startswith(f"{top}/")):
        yield f"it has files outside of {top}/: {', '.join(strangers)}"
    needed = ["PKG-INFO", "README.md", "LICENSE", "pyproject.toml"]
    needed += [f"src/{name}" for name in wheel if name.startswith(f"{ours.package}/")]
    if missing := [name for name in needed if f"{top}/{name}" not in sdist]:
        yield f"it lacks {', '.join(missing)}"
    if generated := [name for name in sdist if "/__pycache__/" in name or "/." in name[len(top) :]]:
        yield from (
            f"it has {name}, which is generated or private"
            for name in generated
            if not name.endswith("/.gitignore")  # hatchling reads it when it builds from the sdist
        )


def differences(one: Files, other: Files) -> list[str]:
    """The names of files that only one of two archives has, or that differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _readme_problems(readme: str) -> Iterator[str]:
    if len(readme) < _SHORTEST_README:
        yield f"its README.md has {len(readme)} characters: an index would show next to nothing"
    for target in _RELATIVE_LINK.findall(readme):
        yield f"its README.md links to {target}, which leads nowhere outside of the repository"


def _entry_point_problems(wheel: Files, text: str) -> Iterator[str]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(text)
    for group in parser.sections():
        for name, target in parser[group].items():
            path = target.partition(":")[0].replace(".", "/")
            if not {f"{path}.py", f"{path}/__init__.py"} & wheel.keys():
                yield f"its entry point {name!r} in {group} leads to {target}, which is not in it"
