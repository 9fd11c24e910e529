"""Colours by meaning, for every theme, and a theme for red-green colour blindness."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from textual.color import Color
from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

# Okabe and Ito's palette (2008), distinguishable with every type of colour vision.
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#56B4E9",
    secondary="#0072B2",
    accent="#F0E442",
    foreground="#E6E6E6",
    background="#101418",
    surface="#181D23",
    panel="#222932",
    success="#56B4E9",
    warning="#F0E442",
    error="#E69F00",
    dark=True,
)
DEFAULT = "textual-dark"
CURVES = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#999999")
"""Colours of curves on a dark background, in order of use: Okabe and Ito's palette."""
CURVES_ON_LIGHT = ("#332288", "#CC6677", "#117733", "#AA4499", "#44AA99", "#999933", "#882255", "#88CCEE")
"""Colours of curves on a light background: Tol's muted scheme (SRON/EPS/TN/09-002, 2021), darker ones first."""
GLYPHS = "●▲■◆▼★○△"
"""Glyphs that identify curves in addition to their colours, in the same order."""
TEXT, LINE = 4.5, 3.0
"""Minimum contrast of text and of lines with their background (WCAG 2.2, success criteria 1.4.3 and 1.4.11)."""


def tints(app: App[object]) -> dict[str, str]:
    """Return the current theme's colours by meaning: right, wrong, warning, accent, primary, text, dim, panel.

    A colour with too little contrast to the theme's backgrounds is lightened or darkened.
    """
    theme, grounds = app.theme_variables, _grounds(app)
    named = {
        "right": theme["success"],
        "wrong": theme["error"],
        "warning": theme["warning"],
        "accent": theme["accent"],
        "primary": theme["primary"],
        "dim": "#808890",
    }
    readable = {name: with_contrast(colour, grounds, TEXT) for name, colour in named.items()}
    return {**readable, "text": theme["foreground"], "panel": theme["panel"]}


def curve_colours(app: App[object]) -> tuple[str, ...]:
    """Return the colours of curves on the theme's background, one for each glyph."""
    ground = _grounds(app)[:1]
    return tuple(
        with_contrast(colour, ground, LINE) for colour in (CURVES if app.current_theme.dark else CURVES_ON_LIGHT)
    )


def _grounds(app: App[object]) -> tuple[str, str]:
    """Return the theme's background and surface; the terminal's own, unknown colours are assumed black or white."""
    theme, own = app.theme_variables, "#000000" if app.current_theme.dark else "#FFFFFF"
    background, surface = (
        own if (colour := Color.parse(theme[name])).ansi is not None or not colour.a else theme[name]
        for name in ("background", "surface")
    )
    return background, surface


@lru_cache(maxsize=512)
def with_contrast(colour: str, backgrounds: tuple[str, ...], minimum: float) -> str:
    """Lighten or darken a colour until its contrast with each background is at least `minimum`.

    The terminal's own colours are returned unchanged, because their RGB values are not known.
    """
    given = Color.parse(colour)
    if given.ansi is not None:
        return colour
    grounds = [Color.parse(background) for background in backgrounds]
    ends = Color.parse("#000000"), Color.parse("#FFFFFF")
    pole = max(ends, key=lambda end: min(contrast(end, ground) for ground in grounds))
    mixed = (given.blend(pole, share / 50) for share in range(51))
    return next((c for c in mixed if min(contrast(c, ground) for ground in grounds) >= minimum), pole).hex


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
