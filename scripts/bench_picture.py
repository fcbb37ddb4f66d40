"""Draws the lateness of deliveries, and the drain rate of a burst."""

import math
from bench_arrivals import BOUNDS_MS
from bench_figures import System
from collections.abc import Sequence
from scheduler_api.dashboard.svg import Picture
from textwrap import wrap
from typing import Any

WIDTH, PLOT = 860, 220
LEFT, TOP, GAP = 52, 56, 90
LINES_WIDTH, BARS_WIDTH = 380, 260
LINE = 18
CHARACTERS = 120
# Curves for this load or a higher load are dashed.
HEAVY_PER_S = 1_000
# Colours that are readable on white and on black. The first is for our system.
COLOURS = ("#2f81f7", "#8b949e", "#d29922", "#db61a2", "#3fb950", "#a371f7", "#f0883e")
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 14px; font-weight: 600; }
.small { font-size: 11px; }
.grid { stroke: #8b949e; stroke-opacity: .3; }
.curve { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }"""


def draw(systems: Sequence[System], made_by: Sequence[str]) -> str:
    """Draw systems, ours first; below them, write the lines of `made_by`."""
    picture = Picture()
    late = [system for system in systems if system.of]
    drained = [system for system in systems if system.drain_per_s]
    names = list(dict.fromkeys(system.name for system in systems))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    left = _lateness(picture, late, colours)
    right = _drain(picture, drained, colours)
    y = max(left, right) + LINE
    for line in (line for text in made_by for line in wrap(text, CHARACTERS)):
        picture.text(LEFT, y, line, kind="small")
        y += LINE
    return picture.svg(
        width=WIDTH,
        height=y,
        title="Lateness of deliveries, and drain of a burst",
        style=STYLE,
    )


def _lateness(
    picture: Picture, systems: Sequence[System], colours: dict[str, str]
) -> float:
    """Draw a curve of lateness for each system; return the bottom of the legend."""
    picture.text(LEFT, TOP - 28, "Share delivered within … of its time", kind="title")
    for percent in range(0, 101, 25):
        y = TOP + PLOT * (1 - percent / 100)
        picture.line(LEFT, y, LEFT + LINES_WIDTH, y)
        picture.text(LEFT - 8, y + 4, f"{percent} %", kind="small", anchor="end")
    for bound in (1, 10, 100, 1_000, 10_000):
        label = f"{bound} ms" if bound < 1_000 else f"{bound // 1_000} s"
        picture.line(_x(bound), TOP, _x(bound), TOP + PLOT)
        picture.text(_x(bound), TOP + PLOT + 16, label, kind="small", anchor="middle")
    y = TOP + PLOT + 40.0
    for system in systems:
        below = sorted((int(ms), n) for ms, n in system.late_ms_below.items())
        points = [(_x(ms), TOP + PLOT * (1 - n / system.of)) for ms, n in below]
        colour, dashed = colours[system.name], (system.paced_per_s or 0) >= HEAVY_PER_S
        picture.curve(points, stroke=colour, dashed=dashed)
        picture.curve([(LEFT, y - 4), (LEFT + 24, y - 4)], stroke=colour, dashed=dashed)
        load = f", {system.paced_per_s:,}/s" if system.paced_per_s else ""
        picture.text(LEFT + 32, y, f"{_label(system)}{load}", kind="small")
        y += LINE
    return y


def _x(ms: float) -> float:
    """Return the x coordinate of a lateness, on a logarithmic axis."""
    share = math.log10(ms / BOUNDS_MS[0]) / math.log10(BOUNDS_MS[-1] / BOUNDS_MS[0])
    return LEFT + LINES_WIDTH * share


def _drain(
    picture: Picture, systems: Sequence[System], colours: dict[str, str]
) -> float:
    """Draw a bar for each system; return the bottom of the last one."""
    left = LEFT + LINES_WIDTH + GAP
    picture.text(left, TOP - 28, "Burst: delivered per second", kind="title")
    maximum = max((system.drain_per_s or 0 for system in systems), default=1)
    y = float(TOP)
    for system in systems:
        rate = system.drain_per_s or 0
        picture.text(left, y + 4, _label(system), kind="small")
        width = BARS_WIDTH * rate / maximum
        picture.box(left, y + 10, width, 14, fill=colours[system.name])
        picture.text(left + width + 6, y + 21, f"{rate:,.0f}", kind="small")
        y += 42
    return y


def _label(system: System) -> str:
    workers = f", {system.workers} workers" if system.workers > 1 else ""
    return f"{system.name} {system.version}{workers}"


def origin(made_by: dict[str, Any]) -> str:
    """Format the result of `bench_figures.made_by` as one line."""
    versions = ", ".join(f"{name} {v}" for name, v in made_by["versions"].items())
    return (
        f"{made_by['command']}, {made_by['at']}, {made_by['cores']} cores,"
        f" load average {made_by['load_average']} before it: {versions}"
    )
