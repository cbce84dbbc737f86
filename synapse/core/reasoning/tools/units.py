"""Conversion between units whose factors are exact by definition.

Metre, kilogram, second, kelvin and the units accepted beside them: The International System of
Units, 9th edition (BIPM 2019), tables 2, 4, 8. Inch, foot, yard, mile, pound: the international
yard and pound agreement of 1959 (yard = 0.9144 m, pound = 0.45359237 kg). US gallon = 231 cubic
inches, imperial gallon = 4.54609 L, knot and nautical mile = 1852 m: NIST Special Publication
811, appendix B. Multiples of the byte: IEC 80000-13.

What has several meanings is not a unit here: gallon, pint, ton, month, year, `KB`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from synapse.core.reasoning.tools.amounts import Amount, amount, judged
from synapse.core.reasoning.tools.expressions import NUMBER
from synapse.core.reasoning.tools.rational import Rational, number
from synapse.core.reasoning.tools.reading import question
from synapse.core.reasoning.tools.results import Check, Result, Solution

NAME: Final = "units"
ROUNDED_PLACES: Final = 6  # beside an exact fraction, for the eye

# Kind: one row a unit, "factor names | symbols". Names take any case, symbols only their own.
_TABLE: Final = {
    "length": (
        "1 metre metres meter meters|m", "1000 kilometre kilometres kilometer kilometers|km",
        "0.01 centimetre centimetres centimeter centimeters|cm",
        "0.001 millimetre millimetres millimeter millimeters|mm",
        "0.000001 micrometre micrometres micrometer micrometers|um",
        "0.000000001 nanometre nanometres nanometer nanometers|nm",
        "0.0254 inch inches|", "0.3048 foot feet|ft", "0.9144 yard yards|yd",
        "1609.344 mile miles|mi", "1852 nautical_mile nautical_miles|nmi",
    ),
    "mass": (
        "1 kilogram kilograms kilogramme kilogrammes kilo kilos|kg", "0.001 gram grams|g",
        "0.000001 milligram milligrams|mg", "0.000000001 microgram micrograms|ug",
        "1000 tonne tonnes metric_ton metric_tons|t", "0.45359237 pound pounds|lb lbs",
        "0.028349523125 ounce ounces|oz", "6.35029318 stone stones|",
        "907.18474 short_ton short_tons|", "1016.0469088 long_ton long_tons|",
    ),
    "time": (
        "1 second seconds|s sec", "0.001 millisecond milliseconds|ms",
        "0.000001 microsecond microseconds|us", "0.000000001 nanosecond nanoseconds|ns",
        "60 minute minutes|min mins", "3600 hour hours|h hr hrs", "86400 day days|d",
        "604800 week weeks|",
    ),
    "volume": (
        "1 litre litres liter liters|L l",
        "0.001 millilitre millilitres milliliter milliliters|mL ml",
        "0.01 centilitre centilitres centiliter centiliters|cL cl",
        "0.1 decilitre decilitres deciliter deciliters|dL dl",
        "1000 cubic_metre cubic_metres cubic_meter cubic_meters|m^3",
        "0.001 cubic_centimetre cubic_centimetres cubic_centimeter cubic_centimeters|cm^3",
        "28.316846592 cubic_foot cubic_feet|", "0.016387064 cubic_inch cubic_inches|",
        "3.785411784 us_gallon us_gallons|", "0.946352946 us_quart us_quarts|",
        "0.473176473 us_pint us_pints|", "0.0295735295625 us_fluid_ounce us_fluid_ounces|",
        "4.54609 imperial_gallon imperial_gallons|", "0.56826125 imperial_pint imperial_pints|",
    ),
    "speed": (
        "1 metre_per_second metres_per_second meter_per_second meters_per_second|m/s",
        "5/18 kilometre_per_hour kilometres_per_hour kilometer_per_hour kilometers_per_hour|km/h",
        "0.44704 mile_per_hour miles_per_hour|mph", "0.3048 foot_per_second feet_per_second|ft/s",
        "463/900 knot knots|",
    ),
    "data": (
        "1 bit bits|", "8 byte bytes|B", "8000 kilobyte kilobytes|kB",
        "8000000 megabyte megabytes|MB",
        "8000000000 gigabyte gigabytes|GB", "8000000000000 terabyte terabytes|TB",
        "8192 kibibyte kibibytes|KiB", "8388608 mebibyte mebibytes|MiB",
        "8589934592 gibibyte gibibytes|GiB", "8796093022208 tebibyte tebibytes|TiB",
        "1000 kilobit kilobits|kbit", "1000000 megabit megabits|Mbit",
        "1000000000 gigabit gigabits|Gbit",
    ),
    "temperature": (
        "1 kelvin kelvins|K", "1 celsius degree_celsius degrees_celsius degrees_c|C",
        "5/9 fahrenheit degree_fahrenheit degrees_fahrenheit degrees_f|F",
    ),
}  # fmt: skip
_ZERO: Final = {"celsius": "273.15", "fahrenheit": "45967/180"}  # in kelvin: SI brochure 2.3.1
# Rates a second way of counting gives: many say megabyte for 1,048,576 bytes.
_DECIMAL_BYTES: Final = ("kilobyte", "megabyte", "gigabyte", "terabyte")

_QUANTITY: Final = rf"(?:(-?{NUMBER}) ?|(?:an?|one) )"
_UNIT: Final = r"([A-Za-z][A-Za-z/ ]{0,30}?(?:\^3)?)"
_FORMS: Final = (
    re.compile(
        rf"how many {_UNIT} (?:is|are|are there in|are in|is in|make|in) {_QUANTITY}{_UNIT}", re.I
    ),
    re.compile(rf"how much is {_QUANTITY}{_UNIT} in {_UNIT}", re.I),
    re.compile(rf"(?:convert |what(?: is|'s) )?{_QUANTITY}{_UNIT} (?:to|into|in) {_UNIT}", re.I),
)


@dataclass(frozen=True, slots=True)
class _Unit:
    name: str
    kind: str
    factor: Rational
    zero: Rational  # where its scale begins, in the kind's first unit


@dataclass(frozen=True, slots=True)
class _Conversion:
    given: Rational
    source: _Unit
    target: _Unit
    exact: Rational
    written: str  # the target as the task writes it; empty when it asked `how many`


def solve(task: str) -> Solution | None:
    """The exact amount; where its decimals do not end, a fraction with a rounding beside it."""
    asked = _understood(task)
    if asked is None:
        return None
    exact, unit = asked.exact, asked.written and f" {asked.written}"
    decimal = exact.decimal()
    answer = decimal and decimal + unit
    if answer is None:
        answer = f"{exact.fraction()}{unit} (about {exact.rounded(ROUNDED_PLACES)}{unit})"
    rule = f"{asked.source.factor.fraction()} / {asked.target.factor.fraction()}"
    return Solution(
        NAME, answer, f"one {asked.source.name} : one {asked.target.name} = {rule}, exact"
    )


def check(task: str, answer: str) -> Check | None:
    """Convert again and compare. A rounding, or a right amount in another unit, is UNKNOWN."""
    asked = _understood(task)
    if asked is None:
        return None
    said = amount(answer, _KNOWN_WORDS)
    if said is None:
        return Check(NAME, Result.UNKNOWN, "no single amount is stated")
    exact = asked.exact
    if said.unit:
        unit = _unit(said.unit)
        if unit is None:
            return Check(NAME, Result.UNKNOWN, "the unit of the answer is not known here")
        if unit != asked.target:
            return _in_another_unit(asked, said, unit)
    if said.value != exact and _counted_in_1024(asked, said):
        return Check(NAME, Result.UNKNOWN, "right where a kilobyte is 1024 bytes; IEC says 1000")
    return Check(NAME, *judged(exact, said, exact.decimal() or exact.fraction()))


def _in_another_unit(asked: _Conversion, said: Amount, unit: _Unit) -> Check:
    if unit.kind == asked.target.kind and _between(asked.given, asked.source, unit) == said.value:
        return Check(NAME, Result.UNKNOWN, f"right, but in {unit.name}, not {asked.target.name}")
    return Check(NAME, Result.FAIL, f"{asked.target.name} is asked, {unit.name} is stated")


def _counted_in_1024(asked: _Conversion, said: Amount) -> bool:
    powers = [
        _DECIMAL_BYTES.index(one.name) + 1 if one.name in _DECIMAL_BYTES else 0
        for one in (asked.source, asked.target)
    ]
    skew = Rational.of(1024, 1000) ** Rational.of(powers[0] - powers[1])
    return powers[0] != powers[1] and said.value == asked.exact * skew


def _understood(task: str) -> _Conversion | None:
    text = question(task)
    if text is None or len(text) > 400:  # one quantity, two units
        return None
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is None:
            continue
        how_many = form is _FORMS[0]
        target, given, source = found.groups() if how_many else (found[3], found[1], found[2])
        try:
            quantity = number(given.lstrip("-")) if given else Rational.of(1)
            negative = bool(given) and given.startswith("-")
            return _conversion(-quantity if negative else quantity, source, target, how_many)
        except (ArithmeticError, ValueError):
            return None
    return None


def _conversion(given: Rational, source: str, target: str, how_many: bool) -> _Conversion | None:
    one, other = _unit(source), _unit(target)
    if one is None or other is None or one.kind != other.kind or one == other:
        return None
    if (given * one.factor + one.zero).top < 0:
        return None  # below absolute zero, or a length below nothing
    exact = _between(given, one, other)
    return _Conversion(given, one, other, exact, "" if how_many else target)


def _between(given: Rational, source: _Unit, target: _Unit) -> Rational:
    return (given * source.factor + source.zero - target.zero) / target.factor


def _unit(written: str) -> _Unit | None:
    text = written.strip().replace(" ", "_")
    return _UNITS.get(text) or _UNITS.get(text.lower() if len(text) > 3 else "")


def _units() -> dict[str, _Unit]:
    found: dict[str, _Unit] = {}
    for kind, rows in _TABLE.items():
        for row in rows:
            words, _, symbols = row.partition("|")
            factor, *names = words.split()
            unit = _Unit(
                names[0].replace("_", " "), kind, _ratio(factor), _ratio(_ZERO.get(names[0], "0"))
            )
            found |= dict.fromkeys([*names, *symbols.split()], unit)
    return found


def _ratio(text: str) -> Rational:
    top, _, bottom = text.partition("/")
    return number(top) / number(bottom or "1")


_UNITS: Final = _units()
_KNOWN_WORDS: Final = frozenset(word for name in _UNITS for word in name.split("_"))
