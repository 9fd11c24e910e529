"""Colours by what they mean, for every theme; and a theme for people who see no red and green."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from textual.color import Color
from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

# Okabe and Ito's palette (2008), which people of every colour vision tell apart.
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
"""Of curves on a dark ground, in their order: Okabe and Ito's too."""
CURVES_ON_LIGHT = ("#332288", "#CC6677", "#117733", "#AA4499", "#44AA99", "#999933", "#882255", "#88CCEE")
"""Of curves on a light ground: Tol's muted scheme (Colour Schemes, SRON/EPS/TN/09-002, 2021), the darker ones first."""
GLYPHS = "●▲■◆▼★○△"
"""Beside the colour of a curve, in the same order."""
TEXT, LINE = 4.5, 3.0
"""The least contrast of text and of lines with their ground (WCAG 2.2, success criteria 1.4.3 and 1.4.11)."""


def tints(app: App[object]) -> dict[str, str]:
    """Colours of the theme in use: right, wrong, warning, accent, primary, text, dim, panel.

    Where a theme's own colour could hardly be read on its backgrounds it is lightened or darkened until it can.
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
    readable = {name: on(colour, grounds, TEXT) for name, colour in named.items()}
    return {**readable, "text": theme["foreground"], "panel": theme["panel"]}


def curve_colours(app: App[object]) -> tuple[str, ...]:
    """Colours of curves on the theme's background, as many as there are glyphs."""
    ground = _grounds(app)[:1]
    return tuple(on(colour, ground, LINE) for colour in (CURVES if app.current_theme.dark else CURVES_ON_LIGHT))


def _grounds(app: App[object]) -> tuple[str, str]:
    """The theme's background and surface; a terminal's own, which is not known, is taken for black or white."""
    theme, own = app.theme_variables, "#000000" if app.current_theme.dark else "#FFFFFF"
    background, surface = (
        own if (colour := Color.parse(theme[name])).ansi is not None or not colour.a else theme[name]
        for name in ("background", "surface")
    )
    return background, surface


@lru_cache(maxsize=512)
def on(colour: str, grounds: tuple[str, ...], least: float) -> str:
    """The colour, lightened or darkened as far as its contrast with each of the grounds needs it.

    The terminal's own colours stay as they are: what they look like is not known.
    """
    given = Color.parse(colour)
    if given.ansi is not None:
        return colour
    behind = [Color.parse(ground) for ground in grounds]
    pole = max((Color.parse("#000000"), Color.parse("#FFFFFF")), key=lambda end: min(contrast(end, g) for g in behind))
    mixed = (given.blend(pole, share / 50) for share in range(51))
    return next((c for c in mixed if min(contrast(c, ground) for ground in behind) >= least), pole).hex


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
