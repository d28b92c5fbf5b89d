"""Bar charts as SVG: small, the same for the same figures, readable on white and on black."""

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
_MOST_TICKS = 8
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


def _ticks(chart: Bars) -> list[float]:
    values = [value for _, some in chart.groups for value in some if value] or [1.0]
    if chart.linear:
        step = math.ceil(max(values) / _MOST_TICKS)
        return [float(step * n) for n in range(math.ceil(max(values) / step) + 1)]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # A bar needs some length: a value at the very beginning of the axis would have none.
    low -= min(values) < 2 * 10.0**low
    return [10.0**decade for decade in range(low, max(high, low + 1) + 1)]


def _x(value: float, chart: Bars) -> float:
    low, high = (ticks := _ticks(chart))[0], ticks[-1]
    if chart.linear:
        part = (value - low) / (high - low)
    else:
        part = math.log(value / low) / math.log(high / low)
    return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)


def _legend(chart: Bars) -> Iterator[str]:
    x = _LEFT
    for name, colour in zip(chart.series, _COLOURS, strict=False):
        yield f'  <rect x="{x}" y="38" width="11" height="11" fill="{colour}"/>'
        yield _text(x + 16, 48, name)
        x += 40 + 7 * len(name)


def _axis(chart: Bars, height: int) -> Iterator[str]:
    foot = height - _BOTTOM
    for tick in _ticks(chart):
        x = _x(tick, chart)
        yield f'  <line class="axis" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{foot}"/>'
        yield _text(x, foot + 16, f"{tick:,.6f}".rstrip("0").rstrip("."), anchor="middle")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, foot + 36, chart.unit, anchor="middle")


def _bars(chart: Bars, group: int) -> Iterator[str]:
    for number, (name, values) in enumerate(chart.groups):
        top = _TOP + number * group
        yield _text(_LEFT - 8, top + len(values) * _BAR / 2 + 4, name, anchor="end")
        for at, (value, colour) in enumerate(zip(values, _COLOURS, strict=False)):
            if not value:
                continue
            y, end = top + at * _BAR, _x(value, chart)
            yield (
                f'  <rect x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR - 1}" '
                f'fill="{colour}"/>'
            )
            yield _text(end + 4, y + 9, _figure(value), kind="value")


def _figure(value: float) -> str:
    """With three digits that count, where it is small."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'  <text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{escape(words)}</text>'
