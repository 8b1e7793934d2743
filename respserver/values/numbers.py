"""Numbers as Redis reads and prints them. Pure functions over bytes."""
import re

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1


def parse_int(text: bytes) -> int | None:
    """A 64-bit integer in its one canonical spelling (no blanks, plus sign, leading zeros or "-0"), or None."""
    if len(text) > 20:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    if b"%d" % number != text or not INT64_MIN <= number <= INT64_MAX:
        return None
    return number


def parse_uint(text: bytes) -> int | None:
    """An unsigned 64-bit integer as strtoull reads it (leading zeros allowed), or None."""
    if not text.isdigit() or len(text) > 40:
        return None
    number = int(text)
    return number if number < 1 << 64 else None


_DECIMAL = re.compile(rb"([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?\Z")
_HEXADECIMAL = re.compile(rb"([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?\Z")
#: Longest text that Redis takes for a long double, in bytes.
_MAX_LENGTH = 5 * 1024
_INFINITY = re.compile(rb"([+-]?)inf(?:inity)?\Z", re.IGNORECASE)


class LongDouble:
    """An x87 extended number, the type in which Redis adds floats: exact value `mantissa * 2**exponent`, or an infinity.

    Only what INCRBYFLOAT needs: parse, add, print. Rounding is to 64 bits of mantissa, half to even, as the hardware does."""

    __slots__ = ("mantissa", "exponent", "infinite")

    def __init__(self, mantissa: int, exponent: int = 0, infinite: int = 0):
        self.mantissa = mantissa
        self.exponent = exponent
        self.infinite = infinite            # 1 or -1 for the infinities

    @classmethod
    def parse(cls, text: bytes) -> "LongDouble | None":
        """What strtold reads from the whole of `text`: decimal, hexadecimal or infinite;
        None for nan, blanks, over- and underflow."""
        if not text or len(text) >= _MAX_LENGTH:
            return None
        match = _DECIMAL.match(text)
        if match:
            sign, whole, part, bare, power = match.groups()
            digits, scale = _digits(whole, part, bare)
            if len(power or b"") > 8:
                return None if digits.strip(b"0") else cls(0)
            number = _long_integer(digits)
            ten = int(power or 0) - scale
            if abs(ten) > 6000:
                return None if number else cls(0)
            result = cls._rounded(number * 10 ** ten, 1) if ten >= 0 else cls._rounded(number, 10 ** -ten)
        else:
            match = _HEXADECIMAL.match(text)
            if not match:
                match = _INFINITY.match(text)
                return cls(0, 0, -1 if match[1] == b"-" else 1) if match else None
            sign, whole, part, bare, power = match.groups()
            digits, scale = _digits(whole, part, bare)
            number = int(digits, 16)
            if len(power or b"") > 8:
                return None if number else cls(0)
            two = int(power or 0) - 4 * scale
            if abs(two) > 20000:
                return None if number else cls(0)
            result = cls._rounded(number << max(two, 0), 1 << max(-two, 0))
        if result is None or (number and not result.mantissa):
            return None
        if sign == b"-":
            result.mantissa = -result.mantissa
        return result

    @classmethod
    def _rounded(cls, top: int, bottom: int) -> "LongDouble | None":
        """top / bottom with 64 bits of mantissa; None if that is beyond the range of the type."""
        if not top:
            return cls(0)
        shift = max(64 - (abs(top).bit_length() - bottom.bit_length()), -16384)
        shift = min(shift, 16445)               # denormals: no finer than 2**-16445
        for _ in range(2):
            scaled = abs(top) << max(shift, 0)
            quotient, rest = divmod(scaled, bottom << max(-shift, 0))
            excess = quotient.bit_length() - 64
            if excess <= 0:
                break
            shift -= excess
        bottom <<= max(-shift, 0)
        if 2 * rest > bottom or (2 * rest == bottom and quotient & 1):
            quotient += 1
        if quotient.bit_length() - shift > 16384:
            return None
        return cls(quotient if top > 0 else -quotient, -shift)

    def __add__(self, other: "LongDouble") -> "LongDouble | None":
        """The rounded sum; None if it is not finite."""
        if self.infinite or other.infinite:
            return None
        low = min(self.exponent, other.exponent)
        total = (self.mantissa << self.exponent - low) + (other.mantissa << other.exponent - low)
        return self._rounded(total << max(low, 0), 1 << max(-low, 0))

    def format(self) -> bytes:
        """As printf's %.17Lf without trailing zeros; a finite number only."""
        number, power = abs(self.mantissa), self.exponent
        if power >= 0:
            digits = str(number << power) if number.bit_length() + power < 14000 else _long_decimal(number << power)
            return (("-" if self.mantissa < 0 else "") + digits).encode()
        scaled = number * 10 ** 17
        quotient, rest = scaled >> -power, scaled & ((1 << -power) - 1)
        half = 1 << (-power - 1)
        if rest > half or (rest == half and quotient & 1):
            quotient += 1
        whole, part = divmod(quotient, 10 ** 17)
        text = f"{whole}.{part:017d}".rstrip("0").rstrip(".")
        return (("-" if self.mantissa < 0 and text != "0" else "") + text).encode()


def _digits(whole: bytes | None, part: bytes | None, bare: bytes | None) -> tuple[bytes, int]:
    """All digits of a number and how many of them stand behind the point."""
    return (bare, len(bare)) if bare is not None else (whole + part, len(part))


def _long_integer(digits: bytes) -> int:
    """int() of any number of digits; Python refuses more than 4300 at once."""
    return int(digits) if len(digits) <= 4000 else int(digits[:-4000]) * 10 ** 4000 + int(digits[-4000:])


def _long_decimal(number: int) -> str:
    """str() of an integer of up to 4933 digits; Python refuses more than 4300 at once."""
    high, low = divmod(number, 10 ** 4000)
    return f"{high}{low:04000d}"


def parse_float(text: bytes) -> float | None:
    """What strtod reads from the whole of `text` (decimal, hexadecimal, infinite), or None; nan and blanks are refused."""
    if not text or text[0] in b" \t\n\r\v\f":
        return None
    try:
        if _DECIMAL.match(text):
            number = float(text)
            return None if number in (float("inf"), float("-inf")) else number
        if _INFINITY.match(text):
            return float(text)
        if _HEXADECIMAL.match(text):
            return float.fromhex(text.decode())
    except (ValueError, OverflowError):
        pass
    return None
