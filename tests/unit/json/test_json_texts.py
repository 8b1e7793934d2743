"""Reading and writing JSON texts, and the regular expressions of filters."""
import json
import random
import re
import time
from array import array

import pytest

from commands.json.regex import _Machine, compile_regex
from commands.json.text import MAX_DEPTH, dump, dump_pretty, parse
from respserver.protocol.errors import CommandError
from respserver.values.json import depth, pack, size


@pytest.mark.parametrize("text,value,back", [
    (b" 1 ", 1, b"1"), (b"-0", -0.0, b"-0.0"), (b"[-0,\"-0\"]", [-0.0, "-0"], b'[-0.0,"-0"]'), (b"1.0", 1.0, b"1.0"),
    (b"1e2", 100.0, b"100.0"), (b"1e16", 1e16, b"1e16"), (b"5.960464477539062e16", 5.960464477539062e16, b"5.960464477539062e16"),
    (b"0.00001", 1e-05, b"0.00001"), (b"0.000001", 1e-06, b"1e-6"), (b"18446744073709551615", 2**64 - 1, b"18446744073709551615"),
    (b"18446744073709551616", 2.0**64, b"1.8446744073709552e19"), (b'{"a":1,"a":2}', {"a": 2}, b'{"a":2}'),
    (b'"e+ \\u00e9\\n\\/\\u0001\\ud83d\\ude00"', "e+ é\n/\x01😀", '"e+ é\\n/\\u0001😀"'.encode()), (b"[1e300,\"1e+300\"]",
        [1e300, "1e+300"], b'[1e300,"1e+300"]'),
    (b"null", None, b"null"), (b"[true,false]", [True, False], b"[true,false]"), (b"{}", {}, b"{}"), (b'""', "", b'""'),
])
def test_values(text, value, back):
    found = parse(text)
    assert found == value and type(found) is type(value)
    assert dump(found) == back


@pytest.mark.parametrize("text,complaint", [
    (b"", "EOF while parsing a value at line 1 column 0"), (b"  ", "EOF while parsing a value at line 1 column 2"),
    (b"{", "EOF while parsing an object at line 1 column 1"), (b"[1,", "EOF while parsing a value at line 1 column 3"),
    (b"[1,]", "trailing comma at line 1 column 4"), (b'{"a":1,}', "trailing comma at line 1 column 8"),
    (b"{a:1}", "key must be a string at line 1 column 2"), (b'{"a" 1}', "expected `:` at line 1 column 6"),
    (b"[1 2]", "expected `,` or `]` at line 1 column 4"), (b"foo", "expected ident at line 1 column 2"),
    (b"NaN", "expected value at line 1 column 1"), (b"'a'", "expected value at line 1 column 1"), (b"01",
        "invalid number at line 1 column 2"),
    (b"1e400", "number out of range at line 1 column 5"), (b'"a', "EOF while parsing a string at line 1 column 2"),
    (b'"\\x"', "invalid escape at line 1 column 3"), (b'"\n"',
     "control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0"),
    (b"1 2", "trailing characters at line 1 column 3"), (b"[\n1,\n nope]", "expected ident at line 3 column 3"), (b'"\xff"',
        "Couldn't parse as UTF-8 string"),
])
def test_mistakes(text, complaint):
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert caught.value.text == complaint


def test_depth():
    good = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert depth(parse(good)) == MAX_DEPTH
    for bad in (b"[" + good + b"]", b"[" * 5000, b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000):
        with pytest.raises(CommandError, match="recursion limit exceeded at line 1 column"):
            parse(bad)
    wide = b"[" + b",".join([b"[]"] * 500) + b"]"
    assert depth(parse(wide)) == 2 and depth(1) == 0 and depth([]) == 1 and depth({"a": [0.5] * 9}) == 2


def test_random_documents_come_back():
    rnd = random.Random(3)

    def value(level):
        kind = rnd.randrange(8 if level else 6)
        if kind == 6:
            return [value(level - 1) for _ in range(rnd.randrange(12))]
        if kind == 7:
            return {"".join(rnd.choices("ab\"\\é\n", k=3)): value(level - 1) for _ in range(rnd.randrange(5))}
        return [None, rnd.random() < 0.5, rnd.randrange(-10**18, 10**18), rnd.uniform(-1e20, 1e20),
                "".join(rnd.choices("ab\"\\é\n\0", k=4)),
                [rnd.choice([0.5, 1.25, rnd.random()]) for _ in range(rnd.randrange(20))]][kind]

    for _ in range(500):
        document = value(4)
        text = json.dumps(document, ensure_ascii=rnd.random() < 0.5).encode()
        found = parse(text)
        assert json.loads(dump(found)) == document
        pretty = dump_pretty(found, b"  ", b"\n", b" ")
        assert pretty.decode() == json.dumps(json.loads(dump(found)), indent=2, ensure_ascii=False) or b"e" in dump(found)
        assert size(found) > 0


def test_random_mistakes_have_a_place():
    rnd = random.Random(4)
    good = json.dumps({"a": [1, 2.5, "x\\u00e9\n", None, {"b": []}], "c": True}).encode()
    for _ in range(3000):
        at, length = rnd.randrange(len(good)), rnd.randrange(4)
        text = good[:at] + bytes(rnd.choices(b'{}[]:,"\\u01eE+-. tfn\x00\xff', k=rnd.randrange(3))) + good[at + length:]
        try:
            expected = json.loads(text)
        except (ValueError, UnicodeDecodeError):
            with pytest.raises(CommandError, match=r" at line \d+ column \d+|UTF-8"):
                parse(text)
        else:
            assert json.loads(dump(parse(text))) == expected


def test_pretty():
    value = {"a": [1, {}], "b": {"c": []}, "d": []}
    assert dump_pretty(value, b"", b"", b" ") == b'{"a": [1,{}],"b": {"c": []},"d": []}'
    assert dump_pretty(value, b"--", b"|", b"") == b'{|--"a":[|----1,|----{}|--],|--"b":{|----"c":[]|--},|--"d":[]|}'


def test_packing():
    for items, code in (([0.5] * 8, "f"), ([0.1] * 8, "d"), ([1e300] * 8, "d"), ([-0.0] * 8, "f"), ([5e-324] * 8, "d"),
                        ([1e39] * 9, "d")):
        found = pack(list(items))
        assert found.typecode == code and found.tolist() == items and str(found.tolist()) == str(items)
    for items in ([0.5] * 7, [0.5] * 8 + [1], [1] + [0.5] * 8, [0.5] * 8 + [True], [1] * 9):
        assert type(pack(list(items))) is list
    assert type(pack({"a": [[0.5] * 9]})["a"][0]) is array


# ------------------------------------------------------------------------------------------------- regular expressions

def test_regular_expressions():
    assert compile_regex("^f.o$", False)("foo") and not compile_regex("^f.o$", False)("xfoo")
    assert compile_regex("b+", False)("abba") and not compile_regex("b+", True)("abba") and compile_regex("a*b*a*", True)("abba")
    assert compile_regex("(?i)Ü", False)("ü")
    for bad in ("(", "[f.*", r"(a)\1", "(?=a)", "(?<!a)b", "a{999}{999}", "a++"):
        assert compile_regex(bad, False) is None, bad


def test_no_pattern_takes_long():
    for pattern, text in (("(a+)+b", "a" * 3000), ("(a?){30}a{30}", "a" * 29), ("a*b", "a" * 100_000),
                          ("(.*)(.*)(.*)x", "ab" * 3000),
                          ("(a|a)(a|a)(a|a)(a|a)*b", "a" * 3000)):
        start = time.process_time()
        assert not compile_regex(pattern, False)(text)
        assert time.process_time() - start < 10, pattern


def test_random_patterns_agree_with_pythons():
    rnd = random.Random(1)

    def pattern(level):
        if not level:
            return rnd.choice(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", "^", "$", r"\b"])
        form = rnd.choice(["%s%s", "(?:%s|%s)", "(%s)*", "(?:%s)+?", "(?:%s)?", "(?:%s){1,3}"])
        return form % tuple(pattern(level - 1) for _ in range(form.count("%s")))

    for _ in range(600):
        text = pattern(3)
        python, tree = re.compile(text), re._parser.parse(text)
        for is_whole in (True, False):
            fits = _Machine(tree, is_whole).fits
            for _ in range(4):
                subject = "".join(rnd.choices("ab1 ", k=rnd.randrange(7)))
                assert (fits(subject)
                        == bool((python.fullmatch if is_whole else python.search)(subject))), (text, subject, is_whole)
