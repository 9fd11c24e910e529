"""Base of plots over steps: the axis, the label column, the cursor, and mouse handling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from nsad_cli.dashboard.axis_ticks import short_count, ticks
from nsad_cli.dashboard.themes import tints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from textual import events

    from nsad_cli.dashboard.widgets.viewport import Viewport


@dataclass(frozen=True, slots=True)
class StepScale:
    """The linear mapping of a range of steps to columns of characters."""

    bounds: tuple[float, float]
    columns: int

    def column(self, step: float) -> int:
        """Return the column of a step; below 0 or at least `columns` if the step is not visible."""
        first, last = self.bounds
        place = int(np.floor((step - first) / (last - first) * self.columns))
        return self.columns - 1 if step == last else place

    def step(self, column: float) -> float:
        """Return the step in the middle of a column."""
        first, last = self.bounds
        return first + (column + 0.5) / self.columns * (last - first)

    def labels(self) -> str:
        """Return the axis line: round integer steps, each centred on its column."""
        first, last = self.bounds
        line = [" "] * self.columns
        end = 0
        for value in ticks(first, last, max(self.columns // 10, 2)):
            text, place = short_count(value), self.column(value)
            start = max(place - len(text) // 2, end)
            if start + len(text) <= self.columns and value == int(value):
                line[start : start + len(text)] = text
                end = start + len(text) + 1
        return "".join(line)


class StepPlot(Widget):
    """Base class of line charts and heat maps; subclasses implement `paint`.

    The whole plot is painted once after each change and cached; `render_line` returns lines from the cache.
    """

    DEFAULT_CSS = "StepPlot { height: 1fr; }"
    ALLOW_SELECT = False  # dragging pans the plot

    class Zoomed(Message):
        """The mouse wheel was turned over a step."""

        def __init__(self, factor: float, step: float) -> None:
            super().__init__()
            self.factor, self.step = factor, step

    class Panned(Message):
        """The plot was dragged by a share of its width."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    class Pointed(Message):
        """A step was clicked on, in a row of the plot."""

        def __init__(self, step: float, row: int) -> None:
            super().__init__()
            self.step, self.row = step, row

    def __init__(self, viewport: Viewport, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.viewport = viewport
        self.cursor: float | None = None
        """The cursor's step; None hides the cursor."""
        self.label_width = 0
        """Width of the labels at the left."""
        self._picture: list[Strip] | None = None
        self._dragged: tuple[int, bool] | None = None

    @property
    def columns(self) -> int:
        """Width of the plot in characters, without labels."""
        return max(self.size.width - self.label_width, 1)

    @property
    def rows(self) -> int:
        """Height of the plot in characters, without the axis."""
        return max(self.size.height - 1, 1)

    def changed(self) -> None:
        """Repaint at the next frame."""
        self._picture = None
        self.refresh()

    def paint(self) -> list[Strip]:
        """Return all lines, the axis last."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Render a line of the plot."""
        if self._picture is None:
            self._picture = self.paint() if self.size.width > 12 else []
        return self._picture[y] if y < len(self._picture) else Strip.blank(self.size.width, self.rich_style)

    def notify_style_update(self) -> None:
        """Repaint, because the theme's colours may have changed."""
        super().notify_style_update()
        self._picture = None

    def on_resize(self) -> None:
        """Repaint for the new size."""
        self.changed()

    # --- steps, columns and colours -----------------------------------------------------------------------------------

    @property
    def scale(self) -> StepScale:
        """The mapping of steps to columns at the current size."""
        return StepScale(self.viewport.bounds, self.columns)

    def axis(self) -> Strip:
        """Return the axis line below the plot."""
        title = "step" if self.label_width > 4 else ""
        text = f"{title:{self.label_width}}{self.scale.labels()}"
        return Strip([Segment(text, self.ink(tints(self.app)["dim"]))], self.size.width)

    @property
    def base(self) -> Style:
        """The background style."""
        return Style(bgcolor=self.background_colors[1].rich_color)

    def ink(self, colour: str, faded: float = 0.0) -> Style:
        """Return the style of a colour on the background, blended with the background by the share `faded`."""
        ink, ground = Color.parse(colour), self.background_colors[1]
        if ground.ansi is not None or ink.ansi is not None:  # the terminal's own colours cannot be blended
            return self.base + Style(color=ink.rich_color, dim=faded > 0)
        return self.base + Style(color=ink.blend(ground, faded).rich_color)

    # --- the mouse ------------------------------------------------------------------------------------------------

    def _on_wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        self.post_message(self.Zoomed(factor, self.scale.step(event.x - self.label_width)))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in."""
        self._on_wheel(event, 0.8)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        self._on_wheel(event, 1.25)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin a click or a drag."""
        self._dragged = (event.x, False)
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Pan by the distance dragged."""
        if self._dragged is not None and event.x != self._dragged[0]:
            self.post_message(self.Panned((self._dragged[0] - event.x) / self.columns))
            self._dragged = (event.x, True)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End a click or a drag."""
        self.release_mouse()
        if self._dragged is not None and not self._dragged[1] and 0 <= event.x - self.label_width < self.columns:
            self.post_message(self.Pointed(self.scale.step(event.x - self.label_width), event.y))
        self._dragged = None


def segments(codes: NDArray[np.uint32], styles: NDArray[np.intp], table: Sequence[Style]) -> list[Segment]:
    """Split one line of a plot into segments of equal style.

    Args:
        codes: Code points of the characters [columns].
        styles: Index of each character's style in `table` [columns].
        table: The styles.
    """
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    bounds = [0, *(np.flatnonzero(styles[1:] != styles[:-1]) + 1).tolist(), len(text)]
    kinds = styles[bounds[:-1]].tolist()
    return [Segment(text[bounds[i] : bounds[i + 1]], table[kind]) for i, kind in enumerate(kinds)]
