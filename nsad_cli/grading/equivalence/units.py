"""Units of measure: the unit that an answer names, and conversion to other units."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from nsad_cli.grading.equivalence.normalise import CACHE_SIZE, TEXT_MACRO


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: what it measures, and its size in base units."""

    measure: str
    size: float


@dataclass(frozen=True, slots=True)
class Compound:
    """A quantity in several units of one measure: the total in base units, and the units' sizes."""

    measure: str
    total: float
    sizes: tuple[float, ...]


_TABLE: dict[str, tuple[tuple[float, str], ...]] = {
    "length": (
        (0.001, "mm millimeter millimeters millimetre millimetres"),
        (0.01, "cm centimeter centimeters centimetre centimetres"),
        (1.0, "m meter meters metre metres"),
        (1000.0, "km kilometer kilometers kilometre kilometres"),
        (0.0254, "in inch inches"),
        (0.3048, "ft foot feet"),
        (0.9144, "yd yard yards"),
        (1609.344, "mi mile miles"),
    ),
    "mass": (
        (0.001, "mg milligram milligrams"),
        (1.0, "g gram grams"),
        (1000.0, "kg kilogram kilograms kilo kilos"),
        (28.349523125, "oz ounce ounces"),
        (453.59237, "lb lbs pound pounds"),
    ),
    "time": (
        (1.0, "s sec secs second seconds"),
        (60.0, "min mins minute minutes"),
        (3600.0, "h hr hrs hour hours"),
        (86400.0, "day days"),
        (604800.0, "week weeks"),
    ),
    "volume": (
        (0.001, "ml mL milliliter milliliters millilitre millilitres"),
        (1.0, "l L liter liters litre litres"),
        (0.946352946 / 4, "cup cups"),
        (0.946352946 / 2, "pt pint pints"),
        (0.946352946, "qt quart quarts"),
        (0.946352946 * 4, "gal gallon gallons"),
    ),
    "money": ((0.01, "¢ cent cents"), (1.0, "$ dollar dollars USD")),
    "units": ((1.0, "unit units"),),
    "angle": ((1.0, "° degree degrees"), (180 / math.pi, "rad rads radian radians")),
}
_UNITS = {
    name: Unit(measure, size) for measure, rows in _TABLE.items() for size, names in rows for name in names.split()
}
UNIT_NAMES = tuple(name for name in _UNITS if name.isalpha() and name.isascii())
_NAMES = "|".join(re.escape(name) for name in sorted(_UNITS, key=len, reverse=True))
_PART = re.compile(rf"\s*(?:,|and)?\s*(\d+(?:\.\d+)?)\s*({_NAMES})(?![a-zA-Z])\.?")
_TRAILING = re.compile(
    rf"(?:(?<=[\d)}}])|\s)\s*(?:(square|sq\.?|cubic|cu\.?)\s+)?({_NAMES})\.?\s*(?:(?:\^\s*|\*\*)?\{{?\s*([23])\s*\}}?)?$"
)


@lru_cache(CACHE_SIZE)
def unit_of(answer: str) -> Unit | None:
    r"""Return the unit at the end of an answer (`5\text{ cm}^2`, `90^\circ`, `3 square feet`) or its dollar sign."""
    text = answer.strip().removeprefix("$").removesuffix("$") if answer.count("$") > 1 else answer.strip()
    if re.match(r"-?(?:US)?\\\$\s*-?[\d.]", text):  # a bare one may begin a formula
        return _UNITS["$"]
    text = re.sub(r"\^?\{?\s*\\circ\s*\}?$|\\degrees?$", "°", text)
    text = re.sub(TEXT_MACRO + r"\s*\{([^{}]*)\}", r" \1 ", text.replace("\\ ", " ").replace("\\,", " "))
    found = _TRAILING.search(text.rstrip(" .,;$"))
    if not found or (len(found[2]) == 1 and found[2].isalpha() and not found[0][0].isspace()):  # 5m may be 5 times m
        return None
    unit = _UNITS[found[2]]
    power = {"sq": 2, "cu": 3}.get((found[1] or "")[:2]) or int(found[3] or 1)
    return unit if power == 1 else Unit(f"{unit.measure}^{power}", unit.size**power)


@lru_cache(CACHE_SIZE)
def compound_of(answer: str) -> Compound | None:
    """Parse `2 hours 30 minutes`, `5' 6"` or `$12 and 50 cents`: several units, from the largest down."""
    text = re.sub(
        TEXT_MACRO + r"\s*\{([^{}]*)\}", r" \1 ", answer.replace("\\ ", " ").replace("\\,", " ").replace("\\$", "$")
    )
    text = re.sub(r"^\s*\$\s*([\d.]+)(?=\s+and)", r"\1 dollars", re.sub(r"(\d)'\s*(\d+)\"", r"\1 feet \2 inches", text))
    text, parts, at = text.replace("$", "").strip(" .,"), [], 0
    while match := _PART.match(text, at):
        parts.append((float(match[1]), _UNITS[match[2]]))
        at = match.end()
    sizes = tuple(unit.size for _, unit in parts)
    if at < len(text.rstrip()) or len(parts) < 2 or len({unit.measure for _, unit in parts}) > 1:
        return None
    if list(sizes) != sorted(set(sizes), reverse=True):
        return None
    return Compound(parts[0][1].measure, sum(number * unit.size for number, unit in parts), sizes)


def units_in(answer: str) -> set[Unit]:
    """Return the units among an answer's words."""
    return {_UNITS[word] for word in re.findall(r"[A-Za-z]+", answer) if word in _UNITS}


def other_sizes(unit: Unit) -> list[float]:
    """Return the factors that convert a number in this unit to each other unit of its measure."""
    base, _, power = unit.measure.partition("^")
    sizes = {size ** int(power or 1) for size, _ in _TABLE[base]}
    return [unit.size / size for size in sizes if size != unit.size]


def without_unit(text: str, unit: Unit | None) -> str:
    """Remove the unit at the end of a normalised answer."""
    if unit is None:
        return text
    return re.sub(rf"(?<=[\d)}}i])(?:square|sq\.?|cubic|cu\.?)?(?:{_NAMES})(?:\^\{{?\d\}}?)?$", "", text)
