"""A teacher behind an OpenAI-compatible API: OpenAI itself, or any server by its base URL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nsad_cli.teachers.openai_chat import ChatModel
from nsad_cli.teachers.openai_workers import RequestWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nsad_cli.teachers.base import Request
    from nsad_cli.types import Draw, Problem


class OpenAITeacher(ChatModel):
    """Sends `concurrency` requests at a time, each to the server with the fewest in flight.

    Draws of one problem share a request (`n`) if the server supports it: the prompt is then charged once.
    """

    def problems(self) -> list[Problem] | None:
        """Return None: any problem is answered."""
        return None

    def draw(
        self,
        requests: Iterable[Request],
        on_draws: Callable[[list[Draw]], None],
        on_failure: Callable[[Problem, str], None],
    ) -> None:
        """Answer requests; see Teacher.draw.

        Raises:
            NsadError: The key is refused, the model is unknown, or no server can be reached.
        """
        asyncio.run(RequestWorkers(self, requests, on_draws, on_failure).run())
