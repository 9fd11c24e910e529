"""Quantities: the number and the unit of an answer, in words or symbols, and conversion to other units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from nsad_cli.grading.equivalence.normalise import CACHE_SIZE, TEXT_MACRO, VALUE_CHANGING_WORDS
from nsad_cli.grading.equivalence.unit_table import COMMON, CURRENCY_SIGNS, UNITS, Unit

UNIT_NAMES = tuple(name for name in UNITS if name.isalpha() and name.isascii() and (len(name) > 1 or name in "mgshlL"))
"""The names that may follow a number in a sentence."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit.

    Attributes:
        number: The text of the number.
        words: The text of the unit, without filler words.
        unit: The unit; None if it is not in the table.
    """

    number: str
    words: tuple[str, ...]
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Compound:
    """A quantity in several units of one measure: the total in base units, and the units."""

    unit: Unit
    total: Fraction | float
    sizes: tuple[Fraction | float, ...]


_SIGNS = "A-Za-z°€£¥₹¢µμΩ"
_PHRASE = re.compile(rf"(?:(?<=[\d)}}\]])|(?<=\s))([{_SIGNS}][{_SIGNS}\d /^{{}}.·*-]*)$")
_COUNT = re.compile(r"(?<![\d^{A-Za-z])(?<!\^-)(?<!\{-)\d")
_TOKEN = re.compile(rf"[{_SIGNS}]+|\^\s*\{{?\s*(-?[1-9])\s*\}}?|(?<=[a-zA-Z])([23])(?!\d)|[/·*-]|\.")
_AFTER = re.compile(
    r"\s+(?:of\s.*|(?:in\s+)?(?:total|all)|altogether|long|tall|wide|high|deep|thick|heavy|old|away|apart|each)$"
)
_DROPPED = frozenset(("the", "a", "an", "of", "more", "in", "total", "all", "altogether", "different", "are", "is"))
_NAMES = "|".join(re.escape(name) for name in sorted(UNITS, key=len, reverse=True))
_PART = re.compile(rf"\s*(?:,|and)?\s*(\d+(?:\.\d+)?)\s*({_NAMES})(?![a-zA-Z])\.?")


@lru_cache(CACHE_SIZE)
def _plain(answer: str) -> str:
    r"""An answer without text macros and spacing commands; degrees as a sign."""
    text = answer.replace("º", "°").replace("~", " ")
    if "\\" in answer:
        text = re.sub(r"\^?\{?\s*\\circ(?![a-zA-Z])\s*\}?|\\degrees?(?![a-zA-Z])|º", "°", answer)
        text = re.sub(TEXT_MACRO + r"\s*\{([^{}]*)\}", r" \1 ", text)
        text = re.sub(r"\\[ ,;:]|~|\\quad(?![a-zA-Z])", " ", text.replace("\\!", ""))
        text = re.sub(r"\\(?:cdot|times)(?![a-zA-Z])(?=\s*[A-Za-z])", "·", text)
    return re.sub(r"°\s*([CF])(?![A-Za-z])", r"°\1", text).replace("\\$", "$").replace("\\Omega", "Ω").strip(" .,;")


@lru_cache(CACHE_SIZE)
def quantity_of(answer: str) -> Quantity | None:
    r"""Parse `5\text{ cm}^2`, `90^\circ`, `3 feet per second`, `\$5`, `7 red apples`; None without a unit."""
    if not re.search("[A-Za-z°º€£¥₹¢$]", answer):
        return None
    text = _plain(answer)
    if text.count("$") > 1:
        text = text.removeprefix("$").removesuffix("$").strip()
    money = re.match(r"(-?)\s*(?:US)?([$€£¥₹])\s*(?=-?[\d.])", text)
    before = (
        CURRENCY_SIGNS[money[2]] if money and (money[2] != "$" or "\\$" in answer or text.count("$") == 1) else None
    )
    if money and before:
        text = money[1] + text[money.end() :]
    phrase = _phrase(text)
    if phrase is None:
        return Quantity(text, (), before) if before and re.fullmatch(r"-?[\d.,]*\d", text) else None
    number, words = text[: -len(phrase)].strip(), _words(phrase)
    if not re.search(r"\d|\\[a-z]", number):
        return None
    glued = len(phrase) == 1 and phrase.isalpha() and not text[: -len(phrase)][-1:].isspace()
    unit = None if glued else parse_unit(phrase)  # 5m may be 5 times m
    if before:
        rate = re.match(r"\s*(?:per\s|an?\s|/)", phrase)
        unit = before.times(Unit((), 1).times(unit)) if unit and rate else before if _harmless(words) else None
    if unit is None and not (_harmless(words) and re.fullmatch(r"[-\d.,/ ]*\d|.*\\frac\{\d+\}\{\d+\}", number)):
        return None
    return Quantity(number, words, unit)


def _phrase(text: str) -> str | None:
    """What stands after the last number of an answer and may be a unit."""
    found = _PHRASE.search(text)
    while found and (count := [*_COUNT.finditer(found[1])]):  # 5 or 6 apples
        found = _PHRASE.search(text, found.start(1) + count[-1].start())
    return found and found[1]


def _words(phrase: str) -> tuple[str, ...]:
    words = re.findall(rf"[{_SIGNS}]+|[/^]\d?", _AFTER.sub("", phrase))
    return tuple(_singular(word) for word in words if word.lower() not in _DROPPED)


def _singular(word: str) -> str:
    word = word.lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _harmless(words: tuple[str, ...]) -> bool:
    """Whether words may name what is counted, and do not change the number."""
    changing = VALUE_CHANGING_WORDS & {*words, *(f"{word}s" for word in words)}
    return bool(words) and any(len(word) > 2 for word in words) and not changing


@lru_cache(CACHE_SIZE)
def parse_unit(phrase: str) -> Unit | None:
    """Parse a unit in words or symbols: `km/h`, `feet per second`, `square metres`, `kg·m/s^2`, `miles an hour`."""
    text = re.sub(r"\bdegrees?\s+(?=[CF]\b|[Cc]elsius|[Ff]ahrenheit)", "°", phrase.strip(" ."))
    text = re.sub(r"°\s*[Cc]elsius", "°C", re.sub(r"°\s*[Ff]ahrenheit", "°F", text))
    text = re.sub(r"\bmetric tons?\b", "tonne", re.sub(r"\bper\b|(?<=[a-z]) an?\b", "/", _AFTER.sub("", text)))
    found, sign, power, last = Unit((), Fraction(1)), 1, 1, None
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "/·*-.":
            sign = -1 if token == "/" else sign
        elif match[1] or match[2] or token == "squared" or token == "cubed":
            exponent = int(match[1] or match[2]) if match[1] or match[2] else {"squared": 2, "cubed": 3}[token]
            if last is None:
                return None
            found = found.times(last.power(exponent - 1) if exponent != 1 else Unit((), Fraction(1)))
            last = None
        elif token.lower() in ("square", "sq", "cubic", "cu"):
            power = 2 if token.lower().startswith("sq") else 3
        elif unit := UNITS.get(token) or UNITS.get(token.lower() if len(token) > 3 else token):
            if unit.zero and (found.measure or sign < 0):
                return None
            last = unit.power(sign)
            found = unit if not found.measure and sign == power == 1 else found.times(unit.power(sign * power))
            power = 1
        else:
            return None
    return found if found.measure and power == 1 else None


@lru_cache(CACHE_SIZE)
def compound_of(answer: str) -> Compound | None:
    """Parse `2 hours 30 minutes`, `5' 6"` or `$12 and 50 cents`: several units, from the largest down."""
    if not re.search("\\d\\D+\\d", answer):
        return None
    text = _plain(answer)
    text = re.sub(r"^\s*\$\s*([\d.]+)(?=\s+and)", r"\1 dollars", re.sub(r"(\d)'\s*(\d+)\"", r"\1 feet \2 inches", text))
    text, parts, at = text.replace("$", "").strip(" .,"), [], 0
    while match := _PART.match(text, at):
        parts.append((Fraction(match[1]), UNITS[match[2]]))
        at = match.end()
    sizes = tuple(unit.size for _, unit in parts)
    if at < len(text.rstrip()) or len(parts) < 2 or len({unit.measure for _, unit in parts}) > 1:
        return None
    if list(sizes) != sorted(set(sizes), reverse=True):
        return None
    return Compound(parts[0][1], sum(number * unit.size for number, unit in parts), sizes)


def units_in(answer: str) -> set[Unit]:
    """Return the units among an answer's words."""
    return {UNITS[word] for word in re.findall(r"[A-Za-z]+", answer) if word in UNITS}


def in_unit(number: Fraction | float, unit: Unit, other: Unit) -> Fraction | float:
    """Convert a number in one unit to another one of the same measure."""
    return (number + unit.zero) * unit.size / other.size - other.zero


def conversions(number: Fraction | float, unit: Unit) -> list[Fraction | float]:
    """Return a quantity's number in every other common unit."""
    (first, count), *rest = unit.measure
    units = [other.power(count) for other in _measuring(first)]
    if len(rest) == 1:  # km/h
        last, power = rest[0]
        units = [top.times(bottom.power(power)) for top in units for bottom in _measuring(last)]
    elif rest:
        units = []
    units += [other for other in COMMON if other.measure == unit.measure]
    return [in_unit(number, unit, other) for other in units if (other.size, other.zero) != (unit.size, unit.zero)]


def _measuring(dimension: str) -> list[Unit]:
    return [unit for unit in COMMON if unit.measure == ((dimension, 1),)]
