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
    """Asks `concurrency` requests at a time, each of the server with the fewest under way; see `pace` for limits.

    Draws of one problem share a request (`n`) where the server can: the prompt is then paid once.
    """

    def problems(self) -> list[Problem] | None:
        """None: any problem may be asked."""
        return None

    def draw(
        self, requests: Iterable[Request], keep: Callable[[list[Draw]], None], fail: Callable[[Problem, str], None]
    ) -> None:
        """See Teacher.draw.

        Raises NsadError for a refused key, an unknown model, or servers of which none can be reached.
        """
        asyncio.run(RequestWorkers(self, requests, keep, fail).run())
