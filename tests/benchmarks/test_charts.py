"""Charts are well-formed, say what their axes mean, and change only with their figures."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.bench import Bars
from benchmarks.plots import svg

CHART = Bars(
    "speed",
    "Speed <of all>",
    "decisions per second",
    ["one", "three"],
    [("ours & theirs", [250_000.0, None]), ("slow", [12.5, 3.0])],
)
_SVG = "{http://www.w3.org/2000/svg}"


def test_every_figure_known_is_a_bar_with_its_value_beside_it():
    root = ET.fromstring(svg(CHART))
    bars = [r for r in root.iter(f"{_SVG}rect") if r.get("height") == "10"]
    values = [t.text for t in root.iter(f"{_SVG}text") if t.get("class") == "value"]
    assert 3 == len(bars)
    assert ["250,000", "12.5", "3"] == values


def test_title_unit_legend_and_names_are_there():
    words = {text.text for text in ET.fromstring(svg(CHART)).iter(f"{_SVG}text")}
    assert {"Speed <of all>", "decisions per second", "one", "three", "slow"} <= words


def test_longer_bars_mean_larger_figures_and_all_fit():
    root = ET.fromstring(svg(CHART))
    widths = [float(r.get("width")) for r in root.iter(f"{_SVG}rect") if r.get("height") == "10"]
    assert sorted(widths, reverse=True) == widths
    assert all(0 < width < float(root.get("width")) for width in widths)


def test_a_linear_axis_begins_at_nothing():
    shares = Bars(
        "shares", "Shares", "parts", ["one"], [("half", [1.5]), ("all", [3.0])], linear=True
    )
    root = ET.fromstring(svg(shares))
    half, whole = (
        float(r.get("width")) for r in root.iter(f"{_SVG}rect") if r.get("height") == "10"
    )
    assert whole / 2 == half


def test_a_chart_without_figures_is_still_one():
    empty = Bars("none", "Nothing", "things", ["one"], [("nobody", [None])])
    assert ET.fromstring(svg(empty)) is not None


def test_the_same_figures_give_the_same_file():
    assert svg(CHART) == svg(CHART)
