"""The record of a chain, the same from every engine: its text, where each token ends in it, and how it ended."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.student import Student


class Ending(Enum):
    """Why no more tokens were written."""

    TOKEN = "token"
    """The last one is a stop token."""
    CUT = "cut"
    """The text has come to a question of its own (Student.stop_texts)."""
    ROOM = "room"
    """No more were allowed, or the model's context is full."""


def has_run_on(student: Student, tokens: Sequence[int]) -> bool:
    """Whether the last token has completed one of the student's stop texts."""
    stops = student.stop_texts
    if not stops:
        return False
    # A token that writes any of a text writes a byte of it or more; one before them, as in text_and_offsets.
    most = max(len(stop.encode()) for stop in stops) + 1
    recent: str = student.tokenizer.decode(tokens[-most:], skip_special_tokens=True)
    return any(stop in recent for stop in stops)


def chain_of(
    student: Student, problem_id: str, index: int, tokens: Sequence[int], logprobs: Sequence[float], ending: Ending
) -> Chain:
    """The chain that these tokens write; a token that ends it ends where the text ends."""
    ended = ending is Ending.TOKEN
    text, offsets = text_and_offsets(student, tokens[:-1] if ended else tokens)
    if ended:
        offsets = [*offsets, len(text)]
    if ending is Ending.CUT:
        for stop in student.stop_texts:
            text = text.partition(stop)[0].rstrip()
        offsets = [min(offset, len(text)) for offset in offsets]
    finish = Finish.LENGTH if ending is Ending.ROOM else Finish.STOP
    return Chain(problem_id, index, text, None, finish, tuple(offsets), tuple(logprobs))


def text_and_offsets(student: Student, tokens: Sequence[int]) -> tuple[str, list[int]]:
    """The text, and where each token ends in it; a token inside a character ends where the character began."""
    decode = student.tokenizer.decode
    text: str = decode(tokens, skip_special_tokens=True)
    offsets: list[int] = []
    # Decoding from a recent token on keeps this linear: `start` begins a window whose own text begins at `base`.
    # A window has a token before the one asked for, since decoders drop a leading space.
    start = base = 0
    for end in range(1, len(tokens) + 1):
        piece: str = decode(tokens[start:end], skip_special_tokens=True)
        if piece.endswith("\N{REPLACEMENT CHARACTER}"):
            offsets.append(min(base + len(piece) - 1, len(text)))
            continue
        offsets.append(min(base + len(piece), len(text)))
        if end - start >= 16:
            tail: str = decode(tokens[end - 1 : end], skip_special_tokens=True)
            if not tail.startswith("\N{REPLACEMENT CHARACTER}"):
                start, base = end - 1, offsets[-1] - len(tail)
    if offsets:
        offsets[-1] = len(text)
    for i in range(len(offsets) - 1, 0, -1):
        offsets[i - 1] = min(offsets[i - 1], offsets[i])
    return text, offsets
