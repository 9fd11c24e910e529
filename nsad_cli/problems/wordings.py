"""Templates of short texts, which are filled with words and numbers and can be read back.

`{p}` is a slot; `[gets|buys]` are alternatives, not nested; `{a} - {b} = {x}` is a calculation, which fills the slot of
its result. Slots p to u are words, all others whole numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

WORD_SLOTS = frozenset("pqrstu")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w)\}")
_MARKS = re.compile(r"(\{\w\}|[\[\]|])")
_CALCULATION = re.compile(r"(\{\w\}|\d{1,3}) ([-+*/]) (\{\w\}|\d{1,3}) = \{(\w)\}")


def slots_of(template: str) -> frozenset[str]:
    """Return the slots of a template, those of results included."""
    return frozenset(_SLOT.findall(template))


def choose(template: str, rng: random.Random) -> str:
    """Replace every group of alternatives by one of them."""
    return _CHOICE.sub(lambda group: rng.choice(group[1].split("|")), template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill the slots of a template without alternatives.

    Args:
        template: The template; its calculations are carried out.
        values: The text of each slot that is not a result.

    Raises:
        ValueError: The result of a division is not a whole number.
    """
    known = {**values, **{name: str(value) for name, value in results(template, values).items()}}
    return _SLOT.sub(lambda slot: known[slot[1]], template)


def results(template: str, values: Mapping[str, str]) -> dict[str, int]:
    """Carry out the calculations of a template.

    Args:
        template: The template.
        values: The text of each slot that is not a result.

    Returns:
        The results by slot, in order.

    Raises:
        ValueError: The result of a division is not a whole number.
    """
    found: dict[str, int] = {}
    for left, sign, right, result in _CALCULATION.findall(template):
        a, b = (_operand(side, values, found) for side in (left, right))
        found[result] = _calculate(a, sign, b)
    return found


def _operand(side: str, values: Mapping[str, str], found: Mapping[str, int]) -> int:
    name = side.strip("{}")
    if side == name:
        return int(side)
    return found[name] if name in found else int(values[name])


def _calculate(a: int, sign: str, b: int) -> int:
    if sign == "/":
        if b == 0 or a % b:
            raise ValueError(f"{a} / {b} is not a whole number")
        return a // b
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def read(template: str, text: str) -> dict[str, str] | None:
    """Read back the slots of a filled template.

    Args:
        template: The template, with alternatives but without calculations.
        text: The text.

    Returns:
        The text of each slot; None if the text does not have this form, or a slot would have two values.
    """
    pattern, names = _reader(template)
    match = pattern.fullmatch(text)
    if match is None:
        return None
    found: dict[str, str] = {}
    for name, value in zip(names, match.groups(), strict=True):
        if value is not None and found.setdefault(name, value) != value:
            return None
    return found


@lru_cache(maxsize=256)
def _reader(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return the pattern of a template, and the slot of each of its groups."""
    marks = {"[": "(?:", "]": ")", "|": "|"}
    parts, names = [], []
    for part in _MARKS.split(template):
        if slot := _SLOT.fullmatch(part):
            names.append(slot[1])
            parts.append(r"(\w+)" if slot[1] in WORD_SLOTS else r"(\d+)")
        else:
            parts.append(marks.get(part) or re.escape(part))
    return re.compile("".join(parts)), tuple(names)
