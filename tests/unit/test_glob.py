"""Glob patterns and the values of directives."""
import pytest

from respserver.directive import Directive, parse_memory
from respserver.glob import matcher


@pytest.mark.parametrize("pattern, text, matches", [
    (b"*", b"", True), (b"a*c", b"abbc", True), (b"a*c", b"ab\nc", True), (b"a**c", b"ac", True), (b"a?c", b"ac", False),
    (b"a?c", b"a\xffc", True),
    (b"[abc]", b"b", True), (b"[^abc]", b"b", False), (b"[^abc]", b"x", True), (b"[a-c]x", b"bx", True), (b"[c-a]x", b"bx", True),
    (b"[\\]]", b"]", True), (b"a\\*c", b"a*c", True), (b"a\\*c", b"abc", False), (b"[ab", b"b", True), (b"a.c", b"abc", False),
    (b"[]", b"a", False),
    (b"abc", b"abcd", False), (b"\\", b"\\", True), (b"h[^]llo", b"hello", True),
])
def test_matcher(pattern, text, matches):
    assert bool(matcher(pattern)(text)) is matches


def test_case():
    assert matcher(b"MaX*", True)(b"maxmemory") and not matcher(b"MaX*")(b"maxmemory")


@pytest.mark.parametrize("text, value",
                         [("0", 0), ("100", 100), ("1k", 1000), ("1kb", 1024), ("3MB", 3 << 20), ("1Gb", 1 << 30), ("5b", 5),
                                         ("", None), ("x", None), ("1tb", None), ("-1", None), ("1.5gb", None), ("mb", None)])
def test_memory(text, value):
    assert parse_memory(text) == value


@pytest.mark.parametrize("kind, words, value, shown", [
    ("bool", ["YES"], True, "yes"), ("int", ["7"], 7, "7"), ("octal", ["700"], 0o700, "700"), ("string", ["a b"], "a b", "a b"),
    ("words", ["a b", "c"], ["a", "b", "c"], "a b c"), ("save", ["900 1", "300", "10"], [(900, 1), (300, 10)], "900 1 300 10"),
    ("save", [""], [], ""), ("events", ["xE"], frozenset("Ex"), "xE"), ("events", ["KA"], frozenset("Kg$lshzxetd"), "AK"),
    ("percentiles", ["50 99.9"], [50.0, 99.9], "50 99.9"),
])
def test_values(kind, words, value, shown):
    directive = Directive("x", kind, None)
    assert directive.parse(words) == value and directive.show(value) == shown


@pytest.mark.parametrize("kind, words", [
    ("bool", ["1"]), ("int", ["1.5"]), ("int", ["-1"]), ("int", ["1", "2"]), ("memory", ["1x"]), ("octal", ["8"]),
    ("save", ["1"]), ("save", ["a b"]),
    ("events", ["!"]), ("percentiles", ["101"]), ("percentiles", ["x"]),
])
def test_what_is_refused(kind, words):
    with pytest.raises(ValueError):
        Directive("x", kind, None).parse(words)
