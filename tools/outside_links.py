"""MkDocs hook: what a page links to outside `docs/` is named in the site, by its path in the
repository, since the site does not have it."""

from __future__ import annotations

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs with each page's text."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def named(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        inside = path == "docs" or path.startswith("docs/")
        return link[0] if inside else f"{link[1]} (`{path}` in the repository)"

    return _LINK.sub(named, markdown)
