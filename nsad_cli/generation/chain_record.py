"""Conversion of sampled tokens to a Chain: text, token offsets and finish reason, the same for every engine."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from nsad_cli.types import Chain, Finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nsad_cli.models.student import Student


class Ending(Enum):
    """Why generation stopped."""

    TOKEN = "token"
    """The last token is a stop token."""
    CUT = "cut"
    """The model started another question (Student.stop_texts)."""
    ROOM = "room"
    """The limit on new tokens is reached, or the model's context is full."""


def ends_with_stop_text(student: Student, tokens: Sequence[int]) -> bool:
    """Return whether the last token completed one of the student's stop texts."""
    stops = student.stop_texts
    if not stops:
        return False
    # Each token of a stop text covers at least one of its bytes; one more token before it, as in text_and_offsets.
    window = max(len(stop.encode()) for stop in stops) + 1
    recent: str = student.tokenizer.decode(tokens[-window:], skip_special_tokens=True)
    return any(stop in recent for stop in stops)


def make_chain(
    student: Student, problem_id: str, index: int, tokens: Sequence[int], logprobs: Sequence[float], ending: Ending
) -> Chain:
    """Create a chain from its tokens; the offset of a stop token is the end of the text."""
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
    """Decode tokens to text, with the end of each token; a token inside a character ends at the character's start."""
    decode = student.tokenizer.decode
    text: str = decode(tokens, skip_special_tokens=True)
    offsets: list[int] = []
    # Decoding from a recent token on keeps this linear: `start` begins a window whose own text begins at `base`.
    # A window includes one preceding token, since decoders drop a leading space.
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
