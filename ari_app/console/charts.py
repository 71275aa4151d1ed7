"""Charts as drawings: bars that stand on each other, bars side by side, a line. Pure; sizes are in pixels.

The colours are classes of the style sheet, so that a chart is as light or dark as its page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HALF_WIDTH, HEIGHT = 960, 480, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 26

PLOT_HEIGHT = HEIGHT - TOP - BOTTOM

#: Labels below have so much room at least.
LABEL_WIDTH = 52
WIDEST_BAR = 44


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    series: int
    "From 1; the colour."
    title: str


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """`x_ticks` are below the plot, `y_ticks` left of it, each with a line across."""

    bars: list[Bar]
    line: str
    "A path; empty where there is none."
    dots: list[tuple[float, float, str]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    legend: list[tuple[int, str]]
    width: int
    height: int = HEIGHT
    left: int = LEFT

    @property
    def right(self) -> int:
        return self.width - RIGHT


@dataclass(frozen=True)
class Series:
    name: str
    colour: int
    values: Sequence[float]


def stacked(labels: Sequence[str], series: Sequence[Series], width: int = WIDTH) -> Chart:
    """One bar for each label, made of a piece for each series."""
    top, y_ticks = _scale(max((sum(one.values[n] for one in series) for n in range(len(labels))), default=0))
    bars = []
    for n, label in enumerate(labels):
        left, room = _place(n, len(labels), width)
        below = 0.0
        for one in series:
            if value := one.values[n]:
                height = PLOT_HEIGHT * value / top
                y = TOP + PLOT_HEIGHT - below - height
                bars.append(Bar(left, y, room, height, one.colour, f"{label}: {value:g} {one.name}"))
                below += height
    return Chart(bars, "", [], _x_ticks(labels, width), y_ticks, [(one.colour, one.name) for one in series], width)


def side_by_side(labels: Sequence[str], series: Sequence[Series], width: int = WIDTH) -> Chart:
    """For each label a bar of each series."""
    top, y_ticks = _scale(max((value for one in series for value in one.values), default=0))
    bars = []
    for n, label in enumerate(labels):
        left, room = _place(n, len(labels), width, widest=WIDEST_BAR * len(series))
        own = room / max(1, len(series))
        for m, one in enumerate(series):
            value = one.values[n]
            height = PLOT_HEIGHT * value / top
            y = TOP + PLOT_HEIGHT - height
            bars.append(Bar(left + m * own, y, own - 1, height, one.colour, f"{label}: {value:g} {one.name}"))
    return Chart(bars, "", [], _x_ticks(labels, width), y_ticks, [(one.colour, one.name) for one in series], width)


def percentages(labels: Sequence[str], name: str, values: Sequence[float | None], width: int = WIDTH) -> Chart:
    """A line of 0 to 100 %; it is broken where there is no value."""
    path, dots, is_on = "", [], False
    for n, value in enumerate(values):
        if value is None:
            is_on = False
            continue
        x, y = _middle(n, len(labels), width), TOP + PLOT_HEIGHT * (1 - value / 100)
        path += f"{'L' if is_on else 'M'}{x:.1f} {y:.1f}"
        dots.append((round(x, 1), round(y, 1), f"{labels[n]}: {value:.1f} %"))
        is_on = True
    y_ticks = [Tick(TOP + PLOT_HEIGHT * (1 - mark / 100), f"{mark} %") for mark in (0, 25, 50, 75, 100)]
    return Chart([], path, dots, _x_ticks(labels, width), y_ticks, [(1, name)], width)


def _scale(largest: float) -> tuple[float, list[Tick]]:
    """The upper end of the axis, and about four marks on it: 1, 2 or 5 times a power of ten, never parts of a call."""
    rough = max(largest, 4) / 4
    power = 10 ** floor(log10(rough))
    step = max(1, next(step * power for step in (1, 2, 5, 10) if step * power >= rough))
    count = max(1, ceil(largest / step))
    top = step * count
    return top, [Tick(TOP + PLOT_HEIGHT * (1 - n / count), f"{n * step:g}") for n in range(count + 1)]


def _plot(width: int) -> int:
    return width - LEFT - RIGHT


def _place(n: int, count: int, width: int, widest: float = WIDEST_BAR) -> tuple[float, float]:
    """Left edge and width of the n-th bar."""
    room = _plot(width) / count
    own = max(1.0, min(widest, room * 0.78))
    return LEFT + room * n + (room - own) / 2, own


def _middle(n: int, count: int, width: int) -> float:
    return LEFT + _plot(width) * (n + 0.5) / count


def _x_ticks(labels: Sequence[str], width: int) -> list[Tick]:
    """As many as there is room for."""
    if not labels:
        return []
    every = ceil(len(labels) * LABEL_WIDTH / _plot(width))
    return [Tick(_middle(n, len(labels), width), label) for n, label in enumerate(labels) if n % every == 0]
