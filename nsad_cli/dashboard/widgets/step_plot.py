"""A picture over steps: its axis below, its labels at the left, a cursor, and the mouse."""

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
        """The column of a step; below 0 or at least `columns` if the step is not visible."""
        first, last = self.bounds
        place = int(np.floor((step - first) / (last - first) * self.columns))
        return self.columns - 1 if step == last else place

    def step(self, column: float) -> float:
        """The step in the middle of a column."""
        first, last = self.bounds
        return first + (column + 0.5) / self.columns * (last - first)

    def labels(self) -> str:
        """Round steps, each written around its column; whole numbers only."""
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
    """What line charts and heat maps have in common; subclasses give `paint`.

    The picture is made when something has changed, as a whole; the lines that are drawn come from it.
    """

    DEFAULT_CSS = "StepPlot { height: 1fr; }"
    ALLOW_SELECT = False  # a drag moves the picture

    class Zoomed(Message):
        """The wheel was turned over a step."""

        def __init__(self, factor: float, step: float) -> None:
            super().__init__()
            self.factor, self.step = factor, step

    class Panned(Message):
        """The picture was dragged by a share of its width."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    class Pointed(Message):
        """A click on a step, in a row of the picture."""

        def __init__(self, step: float, row: int) -> None:
            super().__init__()
            self.step, self.row = step, row

    def __init__(self, viewport: Viewport, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.viewport = viewport
        self.cursor: float | None = None
        """The step under the cursor."""
        self.label_width = 0
        """Columns that labels take at the left."""
        self._picture: list[Strip] | None = None
        self._dragged: tuple[int, bool] | None = None

    @property
    def columns(self) -> int:
        """The picture's width in characters, without labels."""
        return max(self.size.width - self.label_width, 1)

    @property
    def rows(self) -> int:
        """The picture's height in characters, without the axis."""
        return max(self.size.height - 1, 1)

    def changed(self) -> None:
        """Paint anew at the next frame."""
        self._picture = None
        self.refresh()

    def paint(self) -> list[Strip]:
        """Every line, the axis last."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """A line of the picture."""
        if self._picture is None:
            self._picture = self.paint() if self.size.width > 12 else []
        return self._picture[y] if y < len(self._picture) else Strip.blank(self.size.width, self.rich_style)

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        super().notify_style_update()
        self._picture = None

    def on_resize(self) -> None:
        """Another size is another picture."""
        self.changed()

    # --- steps, columns and colours -----------------------------------------------------------------------------------

    @property
    def scale(self) -> StepScale:
        """The mapping of steps to columns at the present size."""
        return StepScale(self.viewport.bounds, self.columns)

    def axis(self) -> Strip:
        """The line of steps below the picture."""
        title = "step" if self.label_width > 4 else ""
        text = f"{title:{self.label_width}}{self.scale.labels()}"
        return Strip([Segment(text, self.ink(tints(self.app)["dim"]))], self.size.width)

    @property
    def base(self) -> Style:
        """The background."""
        return Style(bgcolor=self.background_colors[1].rich_color)

    def ink(self, colour: str, faded: float = 0.0) -> Style:
        """A colour on the background, with this share of the background in it."""
        ink, ground = Color.parse(colour), self.background_colors[1]
        if ground.ansi is not None or ink.ansi is not None:  # the terminal's own colours cannot be mixed
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
        """A click or a drag begins."""
        self._dragged = (event.x, False)
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag."""
        if self._dragged is not None and event.x != self._dragged[0]:
            self.post_message(self.Panned((self._dragged[0] - event.x) / self.columns))
            self._dragged = (event.x, True)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """A click ends, or a drag."""
        self.release_mouse()
        if self._dragged is not None and not self._dragged[1] and 0 <= event.x - self.label_width < self.columns:
            self.post_message(self.Pointed(self.scale.step(event.x - self.label_width), event.y))
        self._dragged = None


def segments(codes: NDArray[np.uint32], styles: NDArray[np.intp], table: Sequence[Style]) -> list[Segment]:
    """One line of a picture as segments of equal style.

    Args:
        codes: The characters' code points [columns].
        styles: Each character's place in `table` [columns].
        table: The styles.
    """
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    bounds = [0, *(np.flatnonzero(styles[1:] != styles[:-1]) + 1).tolist(), len(text)]
    kinds = styles[bounds[:-1]].tolist()
    return [Segment(text[bounds[i] : bounds[i + 1]], table[kind]) for i, kind in enumerate(kinds)]
