"""Exact rational numbers that refuse to grow.

Python's own fractions answer 2 ** (1/2) with a float and grow until memory is full. Tasks come
from strangers, so here the limit is part of the type, where no caller can forget it. Operations
raise OverflowError beyond `DIGITS_MAX`, ZeroDivisionError, and ValueError for what is irrational.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

DIGITS_MAX: Final = 300  # of numerator and denominator each: 200 operations on such take 2 ms
BITS_MAX: Final = math.ceil(DIGITS_MAX * math.log2(10))
PLACES_MAX: Final = 15  # decimals that are written out; what needs more is written as a fraction


@dataclass(frozen=True, slots=True)
class Rational:
    """`top / bottom` in lowest terms with a positive `bottom`. Make one with `of`."""

    top: int
    bottom: int

    @classmethod
    def of(cls, top: int, bottom: int = 1) -> Self:
        """The number `top / bottom`."""
        if bottom == 0:
            raise ZeroDivisionError("division by zero")
        common = math.gcd(top, bottom) * (1 if bottom > 0 else -1)
        top, bottom = top // common, bottom // common
        if max(top.bit_length(), bottom.bit_length()) > BITS_MAX:
            raise OverflowError(f"more than {DIGITS_MAX} digits")
        return cls(top, bottom)

    def __add__(self, other: Rational) -> Rational:
        """The sum."""
        return Rational.of(
            self.top * other.bottom + other.top * self.bottom, self.bottom * other.bottom
        )

    def __sub__(self, other: Rational) -> Rational:
        """The difference."""
        return self + -other

    def __neg__(self) -> Rational:
        """The number below zero that is as far from it."""
        return Rational(-self.top, self.bottom)

    def __mul__(self, other: Rational) -> Rational:
        """The product."""
        return Rational.of(self.top * other.top, self.bottom * other.bottom)

    def __truediv__(self, other: Rational) -> Rational:
        """The quotient."""
        return Rational.of(self.top * other.bottom, self.bottom * other.top)

    def __pow__(self, exponent: Rational) -> Rational:
        """The power, if the exponent is whole. 0 ** 0 is refused: mathematicians disagree."""
        if exponent.bottom != 1:
            raise ValueError("a power that is not whole has no exact value")
        times = abs(exponent.top)
        if times == 0 and self.top == 0:
            raise ValueError("0 ** 0 has no agreed value")
        if times * (max(self.top.bit_length(), self.bottom.bit_length()) - 1) > BITS_MAX:
            raise OverflowError(f"more than {DIGITS_MAX} digits")
        if times > BITS_MAX:  # a power of 0, 1 or -1
            times = 2 - times % 2
        raised = Rational(self.top**times, self.bottom**times)
        return raised if exponent.top >= 0 else Rational.of(1) / raised

    def distance(self, other: Rational) -> Rational:
        """How far apart two numbers are."""
        apart = self - other
        return apart if apart.top >= 0 else -apart

    def within(self, other: Rational) -> bool:
        """Whether this is at most `other`."""
        return self.top * other.bottom <= other.top * self.bottom

    def is_whole(self) -> bool:
        """Whether this is an integer."""
        return self.bottom == 1

    def fraction(self) -> str:
        """Written as an integer, or as one over another."""
        return str(self.top) if self.is_whole() else f"{self.top}/{self.bottom}"

    def decimal(self) -> str | None:
        """Written with a decimal point, or None when that takes more than `PLACES_MAX` places."""
        for places in range(PLACES_MAX + 1):
            if 10**places % self.bottom == 0:
                return _pointed(self.top * 10**places // self.bottom, places)
        return None

    def rounded(self, places: int) -> str:
        """Written with so many decimals, halves away from zero."""
        scaled = (2 * abs(self.top) * 10**places + self.bottom) // (2 * self.bottom)
        return _pointed(scaled if self.top >= 0 else -scaled, places)


def number(text: str) -> Rational:
    """Read `48,273`, `0.125` or `6.02e23`. Raises ValueError for anything else."""
    if not text.isascii():  # int() would read the digits of every script
        raise ValueError("not a number that is read here")
    mantissa, _, power = text.replace(",", "").lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    if len(whole) + len(decimals) > DIGITS_MAX or len(power) > 4:
        raise OverflowError(f"more than {DIGITS_MAX} digits")
    value = Rational.of(int(whole + decimals), 10 ** len(decimals))
    ten = Rational.of(10)
    return value * ten ** Rational.of(int(power)) if power else value


def _pointed(scaled: int, places: int) -> str:
    digits = str(abs(scaled)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
