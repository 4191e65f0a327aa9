"""Plots as SVG: no script, no font, no request to anybody, and a table beside each with the same numbers.

Enters: labels and numbers. Leaves: SVG text for an HTML page, or the table. Rules: `<title>` and `<desc>` say what a
plot shows, for readers who cannot see it; series differ by labels and dash patterns, not by colour alone; colours
follow the page's (currentColor), so that they work in the dark.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 260, 64, 34, 12, 130
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "12 4")


def lines(name: str, title: str, labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> str:
    """One line a series over the same labels; each line is named at its end."""
    most = max((max(values, default=0) for values in series.values()), default=0)
    top = _round_up(most)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = wide / max(len(labels) - 1, 1)

    def place(at: int, value: int) -> str:
        return f"{LEFT + at * step:.1f},{TOP + high - high * value / top:.1f}"

    parts = [_axis(top, high), _labels(labels, step)]
    ends: list[float] = []
    for number, (label, values) in enumerate(series.items()):
        points = " ".join(place(at, value) for at, value in enumerate(values))
        dash = f' stroke-dasharray="{DASHES[number % len(DASHES)]}"' if number % len(DASHES) else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.6"{dash}/>')
        if len(values) == 1:
            x, _, y = points.partition(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="currentColor"/>')
        end = float(place(0, values[-1] if values else 0).split(",")[1])
        while any(abs(end - other) < 13 for other in ends):  # names never overlap
            end += 13 if end < HEIGHT / 2 else -13
        ends.append(end)
        parts.append(f'<text x="{LEFT + wide + 8}" y="{end + 4:.1f}">{escape(_short(label))}</text>')
    told = ", ".join(f"{label}: {sum(values)} in all" for label, values in series.items()) or "nothing"
    return _svg(name, title, f"{len(labels)} days; {told}.", parts, HEIGHT)


def bars(name: str, title: str, values: Mapping[str, int]) -> str:
    """One horizontal bar a label, with its number."""
    most = max(values.values(), default=0) or 1
    left, row = 230, 22
    parts = []
    for at, (label, value) in enumerate(values.items()):
        y, long = 8 + at * row, (WIDTH - left - 80) * value / most
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(_short(label, 34))}</text>')
        parts.append(
            f'<rect x="{left}" y="{y + 2}" width="{max(long, 1):.1f}" height="14" fill="currentColor" opacity="0.75"/>'
        )
        parts.append(f'<text x="{left + long + 6:.1f}" y="{y + 13}">{value:,}</text>')
    told = ", ".join(f"{label}: {value}" for label, value in values.items()) or "nothing"
    return _svg(name, title, told, parts, 16 + row * len(values))


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same as a table: the first column names the row."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = []
    for first, *rest in rows:
        cells = "".join(f"<td>{escape(_number(one))}</td>" for one in rest)
        body.append(f'<tr><th scope="row">{escape(_number(first))}</th>{cells}</tr>')
    nothing = f'<tr><td colspan="{len(heads)}">nothing</td></tr>'
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body) or nothing}</tbody></table>"
    )


def _svg(name: str, title: str, told: str, parts: Sequence[str], height: int) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title {name}-told" '
        f'font-size="12" fill="currentColor" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-told">{escape(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _axis(top: int, high: int) -> str:
    parts = []
    for share in (0, 0.5, 1):
        y = TOP + high - high * share
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.25"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{int(top * share):,}</text>'
        )
    return "".join(parts)


def _labels(labels: Sequence[str], step: float) -> str:
    every = max(1, -(-len(labels) // 6))
    return "".join(
        f'<text x="{LEFT + at * step:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(label)}</text>'
        for at, label in enumerate(labels)
        if at % every == 0
    )


def _round_up(value: int) -> int:
    """The next 2, 4 or 10 times a power of ten: an axis that people can read, with a whole number in its middle."""
    scale = 1
    while True:
        for head in (2, 4, 10):
            if value <= head * scale:
                return head * scale
        scale *= 10


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _number(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:,}" if isinstance(value, int) else str(value)
