"""Notes of a test: what would be printed on stderr."""

from __future__ import annotations

import logging

from nsad_cli.utils.logs import NOTE, logger


class _Recorder(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(NOTE)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def recorded_notes() -> list[str]:
    """Record notes and warnings from now on, to the end of the test; the list grows."""
    messages: list[str] = []
    logger.addHandler(_Recorder(messages))
    logger.setLevel(min(logger.level or NOTE, NOTE))
    return messages
