"""The provider's colours, made readable.

Enters: an accent, a background and a text colour from the configuration. Leaves: every colour the style sheet names,
for light and for dark. Rules: text meets WCAG 2.2 AA (4.5 to 1) whatever the provider chose: a colour that falls short
is moved towards black or white until it does not; what is drawn only meets 3 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Rgb = tuple[float, float, float]

TEXT = 4.6  # WCAG 2.2, 1.4.3 asks for 4.5; the rest is for rounding
DRAWN = 3.1  # 1.4.11
PAPER = 9.0  # of black or white on the background, so that softer colours and a card still have room

DARK_PAPER, DARK_CARD = "#14171a", "#1d2125"


def palette(accent: str, background: str, text: str) -> Mapping[str, str]:
    """The colours by the names that the style sheet uses."""
    white, black = "#ffffff", "#000000"
    # On a background of middle brightness nothing is readable: it becomes lighter or darker until something is.
    paper = readable(background, (max((white, black), key=lambda pole: contrast(pole, background)),), PAPER)
    ink = readable(text, (paper,), 7.0)
    card = mixed(paper, ink, 0.05)
    light = readable(accent, (paper,), DRAWN)
    dark = readable(accent, (DARK_PAPER,), DRAWN)
    return {
        "paper": paper,
        "ink": ink,
        "card": card,
        "soft": readable(mixed(paper, ink, 0.68), (paper, card), 5.0),
        "line": mixed(paper, ink, 0.16),
        "accent": light,
        "accent-ink": max((white, black), key=lambda colour: contrast(colour, light)),
        "link": readable(accent, (paper, card), TEXT),
        "dark-accent": dark,
        "dark-accent-ink": max((white, black), key=lambda colour: contrast(colour, dark)),
        "dark-link": readable(accent, (DARK_PAPER, DARK_CARD), TEXT),
    }


def readable(colour: str, on: tuple[str, ...], least: float) -> str:
    """The colour itself, or the nearest mix of it with black or white that is distinct from every colour in `on`."""
    for step in range(101):
        for end in ("#000000", "#ffffff"):
            candidate = mixed(colour, end, step / 100)
            if all(contrast(candidate, ground) >= least for ground in on):
                return candidate
    return max(("#000000", "#ffffff"), key=lambda end: min(contrast(end, ground) for ground in on))


def mixed(one: str, other: str, share: float) -> str:
    """`share` of the other colour in the one."""
    parts = (round(255 * (a + (b - a) * share)) for a, b in zip(_rgb(one), _rgb(other), strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
