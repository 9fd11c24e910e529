"""Notes: one line each for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


Note = Callable[[str], None]
