"""Curves over minutes as SVG, one panel below the other, each from zero to its largest value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _PANEL, _LEFT, _TOP = 820, 110, 20, 50
_RIGHT = 90
_STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #24292f } "
    ".title { font-size: 15px; font-weight: 600 } .axis { stroke: #d0d7de } "
    "polyline { fill: none; stroke: #2f7ed8; stroke-width: 2 } "
    "@media (prefers-color-scheme: dark) "
    "{ text { fill: #e6edf3 } .axis { stroke: #444c56 } }"
)


class Line(NamedTuple):
    """One panel."""

    title: str
    values: Sequence[float]


def svg(title: str, minutes: Sequence[int], lines: Sequence[Line]) -> str:
    """The panels as an SVG document."""
    height = _TOP + _PANEL * len(lines) + 30
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" {size}>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        parts.extend(_panel(_TOP + number * _PANEL, minutes, line))
    parts.append(f'<text x="{_LEFT}" y="{height - 8}">0 to {minutes[-1]} minutes</text></svg>')
    return "\n".join(parts) + "\n"


def _panel(top: int, minutes: Sequence[int], line: Line) -> list[str]:
    bottom, most = top + _PANEL - 30, max(line.values) or 1.0
    across = (_WIDTH - _LEFT - _RIGHT) / minutes[-1]
    points = " ".join(
        f"{_LEFT + minute * across:.1f},{bottom - value / most * (_PANEL - 55):.1f}"
        for minute, value in zip(minutes, line.values, strict=True)
    )
    end = _WIDTH - _RIGHT
    return [
        f'<text x="{_LEFT}" y="{top + 12}">{escape(line.title)}</text>',
        f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{end}" y2="{bottom}"/>',
        f'<polyline points="{points}"/>',
        f'<text x="{end + 8}" y="{bottom - 20}">{line.values[-1]:,.0f}</text>',
    ]
