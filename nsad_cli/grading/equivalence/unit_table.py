"""Units of measure by name, with exact sizes in base units; what measures the same thing has the same dimensions.

Units whose size depends on the reader (a ton, a megabyte) and currencies are dimensions of their own, so that nothing
converts them. Months and years convert to each other, not to days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its dimensions by name, its size in base units, and the zero of its scale (temperatures)."""

    measure: tuple[tuple[str, int], ...]
    size: Fraction | float
    zero: Fraction = Fraction(0)

    def power(self, exponent: int) -> Unit:
        """Raise a unit to a power."""
        return Unit(tuple((name, count * exponent) for name, count in self.measure), self.size**exponent)

    def times(self, other: Unit) -> Unit:
        """Multiply by another unit."""
        counts = dict(self.measure)
        for name, count in other.measure:
            counts[name] = counts.get(name, 0) + count
        return Unit(tuple(sorted((name, count) for name, count in counts.items() if count)), self.size * other.size)


def _unit(size: str | Fraction | float, **dimensions: int) -> Unit:
    return Unit(tuple(sorted(dimensions.items())), Fraction(size) if isinstance(size, str) else size)


_INCH, _POUND = Fraction(254, 10**4), Fraction(45359237, 10**5)
_GALLON = 231 * _INCH**3
_SI = (
    ("m", "meter metre", _unit("1", length=1)),
    ("g", "gram gramme", _unit("1", mass=1)),
    ("L l", "liter litre", _unit("1/1000", length=3)),
    ("s", "second sec", _unit("1", time=1)),
    ("N", "newton", _unit("1000", mass=1, length=1, time=-2)),
    ("J", "joule", _unit("1000", mass=1, length=2, time=-2)),
    ("W", "watt", _unit("1000", mass=1, length=2, time=-3)),
    ("V", "volt", _unit("1000", mass=1, length=2, time=-3, current=-1)),
    ("A", "ampere amp", _unit("1", current=1)),
    ("Ω", "ohm", _unit("1000", mass=1, length=2, time=-3, current=-2)),
    ("Pa", "pascal", _unit("1000", mass=1, length=-1, time=-2)),
    ("Hz", "hertz", _unit("1", time=-1)),
    ("cal", "calorie", _unit("4184", mass=1, length=2, time=-2)),
    ("eV", "electronvolt", _unit("1", electronvolt=1)),
    ("mol", "mole", _unit("1", mole=1)),
    ("", "coulomb", _unit("1", current=1, time=1)),
    ("", "farad", _unit("1/1000", mass=-1, length=-2, time=4, current=2)),
)
_PREFIXES = (
    *(("k", "kilo", "1000"), ("M", "mega", "1000000"), ("G", "giga", "1000000000"), ("d", "deci", "1/10")),
    *(("c", "centi", "1/100"), ("m", "milli", "1/1000"), ("µ", "micro", "1/1000000"), ("n", "nano", "1/1000000000")),
)
_OTHERS: tuple[tuple[Unit, str], ...] = (
    (_unit(_INCH, length=1), "in inch inches"),
    (_unit(12 * _INCH, length=1), "ft foot feet"),
    (_unit(36 * _INCH, length=1), "yd yds yard yards"),
    (_unit(63360 * _INCH, length=1), "mi mile miles"),
    (_unit("1000", mass=1), "kilo kilos"),
    (_unit(_POUND / 16, mass=1), "oz ounce ounces"),
    (_unit(_POUND, mass=1), "lb lbs pound pounds"),
    (_unit("1000000", mass=1), "t tonne tonnes"),
    (_unit("1", ton=1), "ton tons"),
    (_unit("1", time=1), "secs"),
    (_unit("60", time=1), "min mins minute minutes"),
    (_unit("3600", time=1), "h hr hrs hour hours"),
    (_unit("86400", time=1), "day days"),
    (_unit("604800", time=1), "week weeks wk wks"),
    (_unit("1209600", time=1), "fortnight fortnights"),
    (_unit("1", calendar=1), "month months"),
    (_unit("12", calendar=1), "year years yr yrs"),
    (_unit("120", calendar=1), "decade decades"),
    (_unit("1200", calendar=1), "century centuries"),
    (_unit("12000", calendar=1), "millennium millennia"),
    (_unit("1/1000000", length=3), "cc"),
    (_unit(_GALLON / 768, length=3), "tsp teaspoon teaspoons"),
    (_unit(_GALLON / 256, length=3), "tbsp tablespoon tablespoons"),
    (_unit(_GALLON / 16, length=3), "cup cups"),
    (_unit(_GALLON / 8, length=3), "pt pint pints"),
    (_unit(_GALLON / 4, length=3), "qt quart quarts"),
    (_unit(_GALLON, length=3), "gal gallon gallons"),
    (_unit(4840 * (36 * _INCH) ** 2, length=2), "acre acres"),
    (_unit("10000", length=2), "ha hectare hectares"),
    (_unit(63360 * _INCH / 3600, length=1, time=-1), "mph"),
    (_unit(Fraction(1000, 3600), length=1, time=-1), "kph kmh kmph"),
    (_unit(Fraction(1852, 3600), length=1, time=-1), "knot knots"),
    (_unit("3600000000", mass=1, length=2, time=-2), "kWh"),
    (_unit("1/60", time=-1), "rpm"),
    (_unit("1", angle=1), "° deg degree degrees"),
    (_unit(180 / math.pi, angle=1), "rad rads radian radians"),
    (_unit("1/100", dollar=1), "¢ cent cents"),
    (_unit("1", dollar=1), "$ dollar dollars USD"),
    (_unit("1", euro=1), "€ euro euros EUR"),
    (_unit("1", sterling=1), "£ GBP"),
    (_unit("1/100", sterling=1), "pence"),
    (_unit("1", yen=1), "¥ yen JPY"),
    (_unit("1", rupee=1), "₹ Rs rupee rupees INR"),
    *((_unit("1", **{name: 1}), f"{name} {name}s") for name in ("yuan", "peso", "won", "ruble", "franc", "crown")),
    (_unit("1", bit=1), "bit bits"),
    (_unit("8", bit=1), "byte bytes"),
    *((_unit("1", **{name: 1}), f"{name}s {name} {name[0].upper()}B") for name in ("megabyte", "gigabyte", "terabyte")),
    (_unit("1", kilobyte=1), "kilobyte kilobytes KB kB"),
    (_unit("1", unit=1), "unit units"),
    (Unit((("temperature", 1),), Fraction(1), Fraction(0)), "K kelvin kelvins"),
    (Unit((("temperature", 1),), Fraction(1), Fraction(27315, 100)), "°C celsius Celsius"),
    (Unit((("temperature", 1),), Fraction(5, 9), Fraction(45967, 100)), "°F fahrenheit Fahrenheit"),
)


def _names() -> dict[str, Unit]:
    found = {}
    for symbols, words, unit in _SI:
        for symbol in symbols.split():
            found[symbol] = unit
            found.update(
                {f"{short}{symbol}": Unit(unit.measure, unit.size * Fraction(size)) for short, _, size in _PREFIXES}
            )
        for word in words.split():
            for start, size in (("", "1"), *((long, size) for _, long, size in _PREFIXES)):
                for end in ("", "s"):
                    found[f"{start}{word}{end}"] = Unit(unit.measure, unit.size * Fraction(size))
    found.update({f"μ{name[1:]}": unit for name, unit in list(found.items()) if name[0] == "µ"})
    return found | {name: unit for unit, names in _OTHERS for name in names.split()}


UNITS = _names()
"""Units by symbol and by name."""
DEGREE, DOLLAR = UNITS["°"], UNITS["$"]
CURRENCY_SIGNS = {sign: UNITS[sign] for sign in "$€£¥₹"}
COMMON = tuple(
    dict.fromkeys(
        UNITS[name]
        for name in (
            *("mm", "cm", "m", "km", "in", "ft", "yd", "mi", "mg", "g", "kg", "oz", "lb", "t", "s", "min", "h", "day"),
            *(
                "week",
                "month",
                "year",
                "mL",
                "L",
                "cup",
                "pt",
                "qt",
                "gal",
                "acre",
                "ha",
                "mph",
                "kph",
                "¢",
                "$",
                "mV",
                "V",
            ),
            *("mA", "A", "W", "kW", "J", "kJ", "kWh", "cal", "kcal", "N", "kN", "Pa", "kPa", "Hz", "kHz", "MHz", "Ω"),
            *("°", "rad", "K", "°C", "°F", "pence", "£", "bit", "byte"),
        )
    )
)
"""Units that an answer without a unit may be in."""
