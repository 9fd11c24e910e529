"""Notes: one line each for people."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
