"""Bar charts as SVG: small, the same for the same figures, readable on white and on black.

Horizontal bars on a logarithmic axis, since the contestants differ by orders of magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks.bench import Bars

_WIDTH = 820
_LEFT = 230
_RIGHT = 80
_TOP = 64
_BOTTOM = 48
_BAR = 11
_GAP = 9
_COLOURS = ("#2f7ed8", "#e07b39", "#3a9b5c", "#a05fc0")  # 3:1 or more on white and on black

_STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: 600 }
    .value { font-size: 10px }
    .axis { stroke: #d0d7de }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .axis { stroke: #444c56 }
    }
"""


def svg(chart: Bars) -> str:
    """The chart as an SVG document."""
    group = len(chart.series) * _BAR + _GAP
    height = _TOP + len(chart.groups) * group + _BOTTOM
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img"',
            f'     width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"',
            f'     aria-label="{escape(chart.title)}">',
            f"  <style>{_STYLE}  </style>",
            _text(16, 24, chart.title, kind="title"),
            *_legend(chart),
            *_axis(chart, height),
            *_bars(chart, group),
            "</svg>\n",
        ]
    )


def _decades(chart: Bars) -> tuple[int, int]:
    values = [value for _, some in chart.groups for value in some if value]
    if not values:
        return 0, 1
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # A bar needs some length: a value at the very beginning of the axis would have none.
    return low - (min(values) < 2 * 10**low), max(high, low + 1)


def _x(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _legend(chart: Bars) -> Iterator[str]:
    x = _LEFT
    for name, colour in zip(chart.series, _COLOURS, strict=False):
        yield f'  <rect x="{x}" y="38" width="11" height="11" fill="{colour}"/>'
        yield _text(x + 16, 48, name)
        x += 40 + 7 * len(name)


def _axis(chart: Bars, height: int) -> Iterator[str]:
    decades = _decades(chart)
    foot = height - _BOTTOM
    for decade in range(decades[0], decades[1] + 1):
        x = _x(10.0**decade, decades)
        yield f'  <line class="axis" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{foot}"/>'
        yield _text(x, foot + 16, f"{10.0**decade:,.{max(0, -decade)}f}", anchor="middle")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, foot + 36, chart.unit, anchor="middle")


def _bars(chart: Bars, group: int) -> Iterator[str]:
    decades = _decades(chart)
    for number, (name, values) in enumerate(chart.groups):
        top = _TOP + number * group
        yield _text(_LEFT - 8, top + len(values) * _BAR / 2 + 4, name, anchor="end")
        for at, (value, colour) in enumerate(zip(values, _COLOURS, strict=False)):
            if not value:
                continue
            y, end = top + at * _BAR, _x(value, decades)
            yield (
                f'  <rect x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR - 1}" '
                f'fill="{colour}"/>'
            )
            yield _text(end + 4, y + 9, f"{value:,.{2 if value < 10 else 0}f}", kind="value")


def _text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'  <text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{escape(words)}</text>'
