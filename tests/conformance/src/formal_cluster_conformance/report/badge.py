"""The badge of a report, as SVG: profiles and levels. Its colour is that of the worst of them."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from formal_cluster_conformance.report.document import Document

_COLOURS: Final = {
    "full": "#2e7d32",
    "declared": "#558b2f",
    "partial": "#b26a00",
    "inconclusive": "#616161",
    "failed": "#b71c1c",
}
_CHARACTER: Final = 6.6
_PADDING: Final = 8


def badge(report: Document) -> str:
    """The badge as text."""
    label = "formal-cluster conformance"
    quick = " (quick)" if report["run"]["quick"] else ""
    levels = report["levels"]
    text = ", ".join(f"{profile}: {level}" for profile, level in levels.items()) + quick
    worst = max(levels.values(), key=list(_COLOURS).index, default="inconclusive")
    left, right = _width(label), _width(text)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img">
  <title>{escape(label)}: {escape(text)}</title>
  <rect width="{left}" height="20" fill="#424242"/>
  <rect x="{left}" width="{right}" height="20" fill="{_COLOURS[worst]}"/>
  <g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
    <text x="{_PADDING}" y="14">{escape(label)}</text>
    <text x="{left + _PADDING}" y="14">{escape(text)}</text>
  </g>
</svg>
"""


def _width(text: str) -> int:
    return round(len(text) * _CHARACTER) + 2 * _PADDING
