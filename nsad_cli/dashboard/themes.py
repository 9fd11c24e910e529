"""Colours by what they mean, for every theme; and a theme for people who see no red and green."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
"""Of curves, in their order: Okabe and Ito's too."""
GLYPHS = "●▲■◆▼★○△"
"""Beside the colour of a curve, in the same order."""


def tints(app: App[object]) -> dict[str, str]:
    """Colours of the theme in use: right, wrong, warning, accent, primary, text, dim, panel."""
    theme = app.theme_variables
    return {
        "right": theme["success"],
        "wrong": theme["error"],
        "warning": theme["warning"],
        "accent": theme["accent"],
        "primary": theme["primary"],
        "text": theme["foreground"],
        "dim": "#808890",
        "panel": theme["panel"],
    }
