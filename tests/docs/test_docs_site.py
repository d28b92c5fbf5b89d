"""The site: every page is in it, it builds strictly, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOADS = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"?(?:https?:)?//|<link[^>]* href=\"?(?:https?:)?//"
)


def test_every_picture_is_drawn_from_itself_alone():
    """Well-formed, told to those who cannot see it, and with nothing to fetch or run."""
    pictures = sorted(DOCS.glob("*.svg"))
    assert len(pictures) > 2
    for picture in pictures:
        root = ElementTree.fromstring(picture.read_text())
        assert root.get("aria-label"), picture
        assert "script" not in picture.read_text(), picture
        references = re.findall(r"(?:href=\"|url\()([^\")]+)", picture.read_text())
        assert [] == [reference for reference in references if not reference.startswith("#")]


def test_every_page_is_in_the_navigation():
    """But for the decisions and the conformance reports, which pages of the first level lead to."""
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"(\S+\.md)$", navigation, re.MULTILINE)
    pages = {str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md")}
    left_out = {
        str(page.relative_to(DOCS))
        for pattern in ("decisions/0*.md", "conformance/*.md")
        for page in DOCS.glob(pattern)
    }
    assert sorted(pages - left_out) == sorted(listed), (
        "add the page to `nav` in mkdocs.yml, or remove it there"
    )


def test_every_page_of_the_first_level_is_in_the_index():
    index = (DOCS / "README.md").read_text()
    pages = [*DOCS.glob("*.md"), *DOCS.glob("reference/*.md")]
    names = {str(page.relative_to(DOCS)) for page in pages} - {"README.md"}
    assert set() == {name for name in names if f"]({name})" not in index}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site. mkdocs.yml is strict: whatever MkDocs warns of is an error."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", directory],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return directory


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.glob("**/*.html"))
    assert len(pages) > 20
    assert [] == [str(page) for page in pages if LOADS.search(page.read_text())]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_pictures_are_part_of_the_site(site):
    concepts = (site / "concepts.html").read_text()
    shown = re.findall(r"<img [^>]*src=\"?([^\" >]+)", concepts)
    assert ["concepts-cluster.svg", "concepts-log.svg"] == shown
    assert [] == [name for name in shown if not (site / name).is_file()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_page_links_to_outside_of_the_site_is_named_by_its_path(site):
    index = (site / "index.html").read_text()
    assert "<code>deploy/README.md</code> in the repository" in index
    assert "../deploy" not in index
