"""Numbers, patterns and values without a server."""
import random
import re
import time
from decimal import Decimal

import pytest

from respserver.glob import matcher
from respserver.values.hash import Hash
from respserver.values.list import List
from respserver.values.numbers import LongDouble, parse_float, parse_int, parse_uint
from respserver.values.set import Set


@pytest.mark.parametrize("text", [b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"120"])
def test_integers(text):
    assert parse_int(text) == int(text)


@pytest.mark.parametrize("text", [b"", b"-", b"+1", b"01", b"-0", b"-01", b" 1", b"1 ", b"1_0", b"1.0", b"0x1",
                                  b"9223372036854775808", b"-9223372036854775809", b"1" * 5000, "１".encode(), b"\x001"])
def test_what_is_no_integer(text):
    assert parse_int(text) is None


def test_cursors():
    assert parse_uint(b"18446744073709551615") == 2**64 - 1 and parse_uint(b"007") == 7
    assert all(parse_uint(text) is None for text in (b"", b"-1", b"+1", b"18446744073709551616", b"1" * 5000, b"x", b" 1"))


def test_floats():
    assert [parse_float(text) for text in (b"1", b"-.5", b"5.", b"1e3", b"0x10", b"0x1p-1", b"inf", b"-Infinity")] == [
        1, -0.5, 5, 1000, 16, 0.5, float("inf"), float("-inf")]
    assert all(parse_float(text) is None for text in (b"", b" 1", b"1 ", b"nan", b"1e400", b"1_0", b"e5", b".", b"x", b"0x",
                                                      b"1e", b"--1"))


@pytest.mark.parametrize("a, b, total", [
    (b"0.1", b"0.2", b"0.3"), (b"1e20", b"0.1", b"100000000000000000000"), (b"0x1p3", b"0x.8", b"8.5"),
    (b"1e-30", b"0", b"0"),
    (b"9223372036854775807", b"1", b"9223372036854775808"), (b"18446744073709551616", b"1", b"18446744073709551616"),
    (b"-0", b"-0", b"0"),
    (b"3.0e3", b"200", b"3200"), (b"1.5", b"-1.5", b"0"), (b"-0.00000000000000001", b"0", b"-0.00000000000000001")])
def test_long_doubles(a, b, total):
    assert (LongDouble.parse(a) + LongDouble.parse(b)).format() == total


def test_long_doubles_at_the_limits():
    assert all(LongDouble.parse(text) is None
               for text in (b"", b"nan", b"1e5000", b"1e-6000", b"1e99999999999", b"1" * 5120, b" 1", b"1 ", b"0x"))
    assert LongDouble.parse(b"0e99999999999").mantissa == 0
    assert len((LongDouble.parse(b"1e4931") + LongDouble.parse(b"0")).format()) == 4932
    long = (LongDouble.parse(b"1e4931") + LongDouble.parse(b"0")).format()
    assert (LongDouble.parse(long) + LongDouble.parse(b"1")).format() == long
    assert LongDouble.parse(b"1.1e4932") + LongDouble.parse(b"1.1e4932") is None
    assert LongDouble.parse(b"inf") + LongDouble.parse(b"1") is None


def test_long_doubles_round_to_64_bits():
    rng = random.Random(1)
    for _ in range(300):
        text = f"{rng.uniform(-1e6, 1e6):.{rng.randint(0, 15)}f}".encode()
        number = LongDouble.parse(text)
        exact = Decimal(number.mantissa) * Decimal(2) ** number.exponent
        assert number.mantissa.bit_length() <= 64
        assert abs(exact - Decimal(text.decode())) <= abs(exact) * Decimal(2) ** -64


@pytest.mark.parametrize("pattern, text, expected", [
    (b"", b"", True), (b"", b"a", False), (b"*", b"", True), (b"a*a", b"a", False), (b"a*a", b"aa", True),
    (b"*a*", b"bab", True), (b"?", b"\n", True),
    (b"[^a]", b"b", True), (b"[^a]", b"a", False), (b"[a-]", b"a-", False), (b"\\", b"\\", True),
    (b"[\\]]", b"]", True), (b"[]", b"", False), (b"[]", b"a", False),
    (b"[^]", b"a", True), (b"[z-a]", b"m", True), (b"a\\*", b"a*", True), (b"a\\*", b"ab", False),
    (b"*\xff", b"a\xff", True), (b"[a", b"a", True),
    (b"a.c", b"abc", False), (b"A", b"a", False)])
def test_patterns(pattern, text, expected):
    assert bool(matcher(pattern)(text)) == expected


def test_patterns_without_case():
    assert matcher(b"Ab[C-D]*", True)(b"aBdX") and not matcher(b"Ab[C-D]", True)(b"abe")


def test_patterns_against_regular_expressions():
    rng = random.Random(2)
    for _ in range(3000):
        pattern = "".join(rng.choice("ab?**") for _ in range(rng.randint(0, 8)))
        text = "".join(rng.choice("ab") for _ in range(rng.randint(0, 8)))
        expected = re.fullmatch(re.sub(r"\*+", ".*", pattern.replace("?", ".")), text)
        assert bool(matcher(pattern.encode())(text.encode())) == bool(expected), (pattern, text)


def test_no_pattern_is_slow():
    started = time.process_time()
    assert not matcher(b"a*" * 900 + b"b")(b"a" * 20_000)
    assert not matcher(b"*?" * 900 + b"b")(b"a" * 20_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("size", [5, 255, 256, 257, 1000])
def test_lists_against_plain_ones(size):
    rng = random.Random(size)
    plain = [b"%d" % rng.randrange(20) for _ in range(size)]
    value = List(plain)
    for _ in range(300):
        item, i = b"%d" % rng.randrange(20), rng.randrange(len(plain))
        what = rng.randrange(8)
        if what == 0:
            value.push_left([item, b"x"])
            plain[:0] = [b"x", item]
        elif what == 1:
            value.push_right([item])
            plain.append(item)
        elif what == 2 and len(plain) > 2:
            assert value.pop_left() == plain.pop(0) and value.pop_right() == plain.pop()
        elif what == 3:
            value.insert(i, item)
            plain.insert(i, item)
        elif what == 4:
            assert value.replace(i, item)
            plain[i] = item
        elif what == 5 and len(plain) > 5:
            assert value.remove(item, -1) == (item in plain)
            if item in plain:
                del plain[len(plain) - 1 - plain[::-1].index(item)]
        elif what == 6:
            assert value.find(item) == (plain.index(item) if item in plain else -1)
            assert list(value.positions(item, backwards=True)) == [j for j in reversed(range(len(plain))) if plain[j] == item]
        else:
            low, high = sorted((i, rng.randrange(len(plain) + 1)))
            assert value.range(low, high) == plain[low:high]
        assert len(value) == len(plain)
    assert list(value) == plain and list(value.copy()) == plain
    value.trim(1, 3)
    assert list(value) == plain[1:3] and value.at(5) is None and not value.replace(5, b"")


def test_sets_of_integers_are_listed_by_size():
    value = Set([b"10", b"9", b"-1"])
    assert value.listed(512) == [b"-1", b"9", b"10"] and value.encoding(512, 128, 64) == "intset"
    assert value.encoding(2, 128, 64) == "listpack"
    value.add(b"x")
    value.remove(b"x")
    assert value.encoding(512, 128, 64) == "listpack" and value.encoding(512, 2, 64) == "hashtable"


def test_values_know_their_size():
    small, large = Hash([(b"f", b"v")]), Hash([(b"f%d" % i, b"v" * 100) for i in range(1000)])
    assert 0 < small.memory() < 1000 and 100_000 < large.memory() < 1_000_000
    assert List([b"x" * 100] * 10).memory() > 1000 and Set([b"%d" % i for i in range(100)]).memory() > 3000
