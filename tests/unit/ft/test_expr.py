"""Expressions of APPLY and FILTER: how they are read and what they give."""
import math
import random

import pytest

from commands.ft.errors import CommandError
from commands.ft.expr import MAX_DEPTH, MAX_OPERATIONS, compile_expression, parse, properties
from commands.ft.functions import FUNCTIONS
from commands.ft.values import NULL, compare, number_text, text_of

ROW = {b"a": 20.0, b"b": 3.0, b"name": b"Bob Cedar", b"num": b"12", b"null": NULL, b"list": [b"x", b"y"],
       b"at": 1500000000.0,
       b"loc": b"0.652,49.580", b"gone": None}
NAMES = list(ROW)


def value(text):
    """What an expression gives over ROW."""
    def slot_of(name):
        return NAMES.index(name if name in ROW else b"gone")
    return compile_expression(parse(text.encode()), slot_of)(list(ROW.values()))


def refusal(text):
    with pytest.raises(CommandError) as caught:
        value(text)
    return caught.value.text.partition(" ")[2]


@pytest.mark.parametrize("text, expected", [
    ("1.50", 1.5), ("+5", 5.0), ("-0", 0.0), ("1e3", 1000.0), ("-inf", -math.inf), ("'x y'", b"x y"),
    (r'"es\"c"', b'es"c'), ("NULL", NULL), ("@name", b"Bob Cedar"),
    ("1 + 2 * 3", 7.0), ("(1 + 2) * 3", 9.0), ("10 - 2 - 3", 5.0), ("2^3^2", 512.0), ("2^-1", 0.5), ("3--5", 8.0),
    ("10%3", 1.0), ("-7%3", -1.0),
    ("1/7", 1 / 7), ("1/0", math.inf), ("-1/0", -math.inf), ("1e308*10", math.inf), ("@num*2", 24.0), ("2*@a%7", 5.0),
    ("!1", 0.0), ("!!3", 1.0), ("!@a==20", 0.0), ("1&&0", 0.0), ("0||2", 1.0), ("1||0&&0", 1.0), ("!0&&0", 0.0),
    ("1 + 1 == 2 && 2 < 3", 1.0),
    ("@a==20", 1.0), ("@a=='20'", 1.0), ("@num==12", 1.0), ("@name=='Bob Cedar'", 1.0), ("@name>'A'", 1.0),
    ("'b'<='a'", 0.0), ("@a!=20", 0.0),
    ("@null==NULL", 1.0), ("@a==NULL", 0.0), ("0 && @gone", 0.0), ("1 || @gone", 1.0), ("''", b""), ("! ''", 1.0),
    ("! 'x'", 0.0),
    ("case(@a>10, 'old', @gone)", b"old"), ("CASE(0, @gone, 2)", 2.0), ("exists(@gone)", 0.0), ("exists(@null)", 0.0),
    ("exists(@a)", 1.0), ("exists(@gone + 1)", 0.0),
    ("@a [ ] ; { } * 2", 40.0),
])
def test_values(text, expected):
    assert value(text) == expected and type(value(text)) is type(expected)


@pytest.mark.parametrize("text, expected", [
    ("abs('-3')", 3.0), ("ceil(-1.5)", -1.0), ("floor(1.5)", 1.0), ("sqrt(9)", 3.0), ("log2(8)", 3.0),
    ("log(0)", -math.inf), ("exp(1000)", math.inf), ("floor(-inf)", -math.inf),
    ("to_number('12.5')", 12.5), ("to_str(@a)", b"20"), ("to_str(1/3)", b"0.333333333333"),
    ("lower(@name)", b"bob cedar"), ("Upper(@name)", b"BOB CEDAR"), ("lower(5)", NULL), ("strlen('é')", 2.0),
    ("substr(@name,-3,2)", b"da"), ("substr(@name,2,-1)", b"b Ceda"), ("substr(@name,100,2)", b""),
    ("substr(@name,5,0)", b""), ("substr(@name,-99,3)", b""), ("substr('abc',1e30,1)", b""),
    ("format('%s is %s%%', @name, @a)", b"Bob Cedar is 20%"), ("format('%s', NULL)", b"(null)"),
    ("format('%s', split('a,b'))", b"a, b"),
    ("split('a, c ,B')", [b"a", b"c", b"B"]), ("split('a;b-c', ';-')", [b"a", b"b", b"c"]),
    ("split('xxayx,b', ',', 'x')", [b"ay", b"b"]), ("split('')", []),
    ("startswith(@name, 'Bob')", 1.0), ("contains('aaaa','aa')", 3.0), ("contains('ab','')", 3.0),
    ("matched_terms()", NULL),
    ("hour(3661)", 3600.0), ("minute(3661.5)", 3660.0), ("day(1582934401)", 1582934400.0),
    ("month(1582934400)", 1580515200.0), ("year(@at)", 2017.0),
    ("monthofyear(1582934400)", 1.0), ("dayofmonth(@at)", 14.0), ("dayofweek(@at)", 5.0),
    ("dayofyear(1609459199)", 365.0), ("day(-1)", NULL), ("month(1e15)", NULL), ("day('x')", NULL),
    ("timefmt(0)", b"1970-01-01T00:00:00Z"), ("timefmt(@at, '%H:%M:%S %j %a %b')", b"02:40:00 195 Fri Jul"),
    ("timefmt(1e20)", NULL), ("timefmt('x')", NULL), ("timefmt(1, '')", NULL),
    ("parsetime('2020-01-02T03:04:05Z','%FT%TZ')", 1577934245.0),
    ("parsetime('5 Mar 2021 1:02 pm','%d %b %Y %I:%M %p')", 1614949320.0), ("parsetime('123 rest','%s')", 123.0),
    ("parsetime('2021 060','%Y %j')", 1614556800.0), ("parsetime('70-1-1','%y-%m-%d')", 0.0),
    ("parsetime('bad','%Y')", NULL), ("parsetime('1','%Q')", NULL), ("parsetime('0','%Y')", NULL),
    ("geodistance(@loc,'2.35,48.85')", 147685.17), ("geodistance(@loc,2.35,48.85)", 147685.17),
    ("geodistance(2.35,48.85,@loc)", 147685.17), ("geodistance(2.35,48.85,13.4,52.5)", 877046.46),
    ("geodistance('2.35 48.85','13.4 52.5')", 877046.46), ("geodistance(@loc,@loc)", 0.0),
])
def test_functions(text, expected):
    assert value(text) == expected and type(value(text)) is type(expected)


@pytest.mark.parametrize("text", ["log(-1)", "sqrt(-1)", "@a%0", "0/0", "(-8)^0.5", "floor('x')",
                                  "1e308*10 - 1e308*10"])
def test_not_a_number(text):
    assert math.isnan(value(text)) and number_text(value(text)) in (b"nan", b"-nan")


def test_sign_of_nan():
    assert number_text(value("log(-1)")) == b"-nan" and number_text(value("floor('x')")) == b"nan"


@pytest.mark.parametrize("text, offset, near", [
    ("", 0, ""), ("@", 0, ""), (")(", 0, ""), ("1)", 1, "1"), ("(1", 1, "1"), ("1,2", 1, "1"), ("foo(", 3, "foo"),
    ("@a+1", 2, "+1"), ("3-5", 1, "-5"), ("abs(@a-40)", 6, "-40"), ("@a+", 2, "a"),
    ("@a>", 2, "a"), ("@a @b", 3, "b"), ("@a>50 AND @a<55", 6, "AND"), ("bad filter", 4, "filter"), ("1<2<3", 3, "2"),
    ('1 "x"', 2, '"x"'),
    ("abs(1,)", 6, "1"), ("! ", 0, ""),
])
def test_syntax_errors(text, offset, near):
    assert refusal(text) == f"Syntax error at offset {offset} near '{near}'"


@pytest.mark.parametrize("text, message", [
    ("@name > 1", "Error converting string"), ("case(1, 2 <= @name, 0)", "Error converting string"),
    ("nofunc(@a)", "Unknown function name 'nofunc'"), ("inf", "Unknown symbol 'inf'"),
    ("'abc", "Unknown symbol 'abc'"), ("null", "Unknown symbol 'null'"),
    ("sqrt()", "Function 'sqrt' expects 1 arguments, but got 0"),
    ("case(1,2)", "Function 'case' expects 3 arguments, but got 2"),
    ("timefmt(1,2,3)", "Function 'timefmt' expects between 1 and 2 arguments, but got 3"),
    ("@gone", "Could not find the value for a parameter name, consider using EXISTS if applicable for gone"),
    ("@name+'x'", "Could not convert value to a number"), ("@null*1", "Could not convert value to a number"),
    ("strlen(@a)", "Invalid type (1) for argument 0 in function 'strlen'. VALIDATE_ARG__STRING(v, 0) was false."),
    ("to_number(@name)", "to_number: cannot convert string 'Bob Cedar'"),
    ("format('%s')", "Not enough arguments for format"), ("format('%d', 1)", "Unknown format specifier passed"),
    ("format('x%')", "Bad format string!"), ("geodistance('x','y')", "Invalid geo string"),
    ("geodistance(-inf,1,1,1)", "Invalid geo string"), ("substr(@a,1,1)", "Invalid type for substr. Expected string"),
])
def test_errors(text, message):
    assert refusal(text) == message


def test_bounds():
    value("(" * (MAX_DEPTH - 2) + "1" + ")" * (MAX_DEPTH - 2))
    assert "nested more than" in refusal("(" * 10000)
    assert value(" + ".join(["1"] * MAX_OPERATIONS)) == MAX_OPERATIONS
    assert "operations" in refusal(" + ".join(["1"] * 5000))
    assert "nested" in refusal("!" * 5000 + "1")


def test_properties():
    assert properties(parse(rb"@b + strlen(@my\-field) * @b == !@a")) == [b"b", b"my-field", b"a"]


def test_compare():
    ordered = [NULL, -math.inf, 1.0, 2.0, b"a", b"b"]
    for i, a in enumerate(ordered):
        for j, b in enumerate(ordered):
            assert compare(a, b) == (i > j) - (i < j)
    assert compare(b"10", 9.0) == 1 and compare([b"a", 1.0], [b"a", 2.0]) == -1 and compare([b"a"],
            [b"a", 2.0]) == -1 and compare([], NULL) == 1


def test_numbers_as_text():
    assert [number_text(x) for x in (1e16, 2.0 ** 53, 0.1 + 0.2, 1e300, -0.0, math.inf, 1365.75)] == [
        b"10000000000000000", b"9007199254740992", b"0.3", b"1e+300", b"0", b"inf", b"1365.75"]
    assert text_of([1.0, b"x", NULL]) == b"1, x, null"


def test_any_text_gives_a_value_or_a_refusal():
    source = random.Random(5)
    pieces = ["@a", "@name", "@null", "@list", "@gone", "@at", "1", "-2.5", "1e300", "'x'", "'%s'", "NULL", "(", ")",
              ",", "+", "-", "*", "/", "%", "^", "==", "<", "&&", "||", "!", " ", "\\", '"', "é",
              *[name + "(" for name in FUNCTIONS]]
    for _ in range(20000):
        text = "".join(source.choices(pieces, k=source.randrange(1, 9)))
        try:
            assert type(value(text)) in (float, bytes, list, type(NULL))
        except CommandError:
            pass


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.function is not None])
def test_functions_take_any_values(name):
    function = FUNCTIONS[name]
    source = random.Random(6)
    values = [0.0, -1.0, 1e18, -1e18, math.inf, -math.inf, math.nan, b"", b"12", b"%s%Y", b"1,2", NULL, [],
              [b"a", [1.0, NULL]]]
    for _ in range(2000):
        arguments = source.choices(values, k=source.randint(function.least, min(function.most, 5)))
        try:
            assert type(function.function(*arguments)) in (float, bytes, list, type(NULL))
        except CommandError:
            pass
