"""The JSON commands on arrays, numbers, strings and booleans."""
import pytest

NO_KEY = "ERR could not perform this operation on a key that doesn't exist"
NO_PATH = "ERR Path does not exist"


@pytest.fixture
def put(raw):
    """A function that sets the document "d"."""
    return lambda text: raw.call("JSON.SET", "d", "$", text)


def test_append_and_insert(raw, put):
    put('{"a":["x"],"b":{"a":["y",null,"z"]},"c":{"a":3}}')
    assert raw.call("JSON.ARRAPPEND", "d", "$..a", '"p"', "[1]") == [3, 5, None]
    raw.call("JSON.ARRAPPEND", "d", "$.a[2]", "2")
    assert raw.call("JSON.GET", "d", "$..a") == b'[["x","p",[1,2]],["y",null,"z","p",[1]],3]'
    assert raw.call("JSON.ARRAPPEND", "d", "..a", "0") == 6                            # all of them; the answer is the last one's
    assert raw.call("JSON.ARRINSERT", "d", "$..a", "-1", "7", "8") == [6, 8, None]
    assert raw.call("JSON.GET", "d", "$.a") == b'[["x","p",[1,2],7,8,0]]'
    assert raw.error("JSON.ARRINSERT", "d", "$.a", "9", "1") == raw.error("JSON.ARRINSERT", "d", ".a", "-9",
        "1") == "ERR index out of bounds"
    assert raw.error("JSON.ARRINSERT", "d", "$.a", "x", "1") == "Couldn't parse as integer"
    for name, *words in (("ARRAPPEND", "1"), ("ARRINSERT", "0", "1")):
        assert raw.call("JSON." + name, "d", "$.x", *words) == []
        assert raw.error("JSON." + name, "d", ".x", *words) == NO_PATH + " or not an array"
        assert raw.error("JSON." + name, "d", ".c", *words) == NO_PATH + " or not an array"
        assert raw.error("JSON." + name, "none", "$", *words) == NO_KEY
        assert "column" in raw.error("JSON." + name, "d", "$.a", *words, "{")
        assert raw.error("JSON." + name, "d", "$.a", *words, b"\xff") == "Couldn't parse as UTF-8 string"
    assert "recursion" in raw.error("JSON.ARRAPPEND", "d", "$.a", "[" * 127 + "]" * 127)
    assert raw.error("JSON.ARRAPPEND", "d", "$.a") == "ERR wrong number of arguments for 'json.arrappend' command"


def test_pop_and_trim(raw, raw3, put):
    put("[1,2,3,4,5,6,7,8,9]")
    for index, popped in (((), "9"), ((".",), "8"), ((".", "-2"), "6"), ((".", "0"), "1"), ((".", "99"), "7"),
                          ((".", "-99"), "2"), (("$", "1"), ["4"])):
        reply = raw.call("JSON.ARRPOP", "d", *index)
        assert reply == (popped.encode() if isinstance(popped, str) else [popped[0].encode()])
    assert raw.call("JSON.GET", "d") == b"[3,5]" and raw.call("JSON.ARRPOP", "d", "$") == [b"5"]
    assert raw.call("JSON.ARRPOP", "d") == b"3"
    assert raw.call("JSON.ARRPOP", "d") is None and raw.call("JSON.ARRPOP", "d", "$") == [None]
    put('{"a":[[1,2],[3,null]],"b":4}')
    assert raw.call("JSON.ARRPOP", "d", "$..*") == [b"[3]", None, b"2", b"null", None, None, None, None]
    assert raw.call("JSON.GET", "d") == b'{"a":[[1]],"b":4}'
    assert raw.error("JSON.ARRPOP", "d", ".b") == NO_PATH + " or not an array" and raw.error("JSON.ARRPOP", "none") == NO_KEY
    put('{"a":[{"b":2},{"g":[1,2]},3,null]}')
    assert raw3.call("JSON.ARRPOP", "d", "FORMAT", "EXPAND", "$.a") == [None]
    assert raw3.call("JSON.ARRPOP", "d", "FORMAT", "EXPAND", "$.a", 0) == [{b"b": 2}]
    assert raw3.call("JSON.ARRPOP", "d", "FORMAT", "EXPAND1", "$.a", 0) == [b'{"g":[1,2]}']
    assert raw3.call("JSON.ARRPOP", "d", "FORMAT", "STRINGS", "$.a") == [b"3"]
    assert raw3.error("JSON.ARRPOP", "d", "FORMAT", "EXPAND", ".a") == "Legacy paths are supported only with FORMAT STRINGS"
    assert raw3.error("JSON.ARRPOP", "d", "FORMAT", "STRING", "$.a") == "ERR wrong reply format"
    assert raw.error("JSON.ARRPOP", "d", "FORMAT", "STRINGS", "$.a") == "ERR FORMAT argument is not supported on RESP2"
    for start, stop, left in ((1, -2, "[1,2,3,2,1]"), (0, 99, "[0,1,2,3,2,1,0]"), (0, 2, "[0,1,2]"), (99, 2, "[]"),
                              (-1, 0, "[]"), (-4, 1, "[]"), (-3, -2, "[2,1]")):
        put('{"a":[0,1,2,3,2,1,0],"b":{"a":1}}')
        assert raw.call("JSON.ARRTRIM", "d", "$..a", start, stop) == [left.count(",") + (left != "[]"), None]
        assert raw.call("JSON.GET", "d", ".a").decode() == left
    put('{"a":[[1,2,3],[4,5,6]]}')
    assert raw.call("JSON.ARRTRIM", "d", "$..*", 0, 0)[:3] == [1, 1, 1] and raw.call("JSON.GET", "d") == b'{"a":[[1]]}'


def test_length_and_index(both, raw, put):
    put('{"a":[0,1,2,3,2,1,0,{"v":4},[3,4],"x",null,2.0],"b":{"a":7},"c":{"a":[]}}')
    assert raw.call("JSON.ARRLEN", "d", "$..a") == [12, None, 0] and raw.call("JSON.ARRLEN", "d", ".a") == 12
    assert both.json().arrlen("d", "$.c.a") == [0]
    assert raw.error("JSON.ARRLEN", "d", ".b") == NO_PATH + " or not an array" and raw.error("JSON.ARRLEN", "d", ".x") == NO_PATH
    assert raw.call("JSON.ARRLEN", "none") is None and raw.error("JSON.ARRLEN", "none", "$") == NO_KEY
    for words, place in ((("0",), 0), (("4",), -1), (("0", "1"), 6), (("0", "-7"), 6), (("0", "4", "0"), 6),
                         (("0", "1", "6"), -1), (("2", "-99", "-1"), 2),
                         (('{"v":4}',), 7), (("[3,4]",), 8), (("[3,4.0]",), -1), (('"x"',), 9), (("null",), 10), (("2.0",),
                             11), (("2", "3", "-1"), 4)):
        assert raw.call("JSON.ARRINDEX", "d", ".a", *words) == place, words
        assert raw.call("JSON.ARRINDEX", "d", "$..a", *words) == [place, None, -1]
    assert raw.error("JSON.ARRINDEX", "d", ".b", "1") == "WRONGTYPE wrong type of path value - expected array"
    assert raw.error("JSON.ARRINDEX", "d", ".x", "1") == raw.error("JSON.ARRINDEX", "none", "$", "1") == NO_PATH
    assert raw.error("JSON.ARRINDEX", "d", "$.a", "1", "0", "1", "2").startswith("ERR wrong number")


def test_long_arrays_of_numbers(raw, put):
    put("[" + ",".join(["0.5"] * 20) + "]")
    assert raw.call("JSON.ARRAPPEND", "d", "$", "0.1", "1e300") == [22]
    assert raw.call("JSON.GET", "d", "$[-3:]") == b"[0.5,0.1,1e300]"
    assert raw.call("JSON.ARRINSERT", "d", "$", "1", '"x"') == [23] and raw.call("JSON.ARRPOP", "d", "$", "1") == [b'"x"']
    assert raw.call("JSON.ARRTRIM", "d", "$", "1", "18") == [18] and raw.call("JSON.ARRINDEX", "d", "$", "0.5", "3") == [3]
    assert raw.call("JSON.NUMINCRBY", "d", "$[0]", "0.1") == b"[0.6]" and raw.call("JSON.NUMINCRBY", "d", ".[0]", "1") == b"1.6"
    assert raw.call("JSON.SET", "d", "$[0]", "1") == "OK" and raw.call("JSON.GET", "d", "$[:2]") == b"[1,0.5]"
    assert raw.call("JSON.DEL", "d", "$[0,2,4]") == 3 and raw.call("JSON.ARRLEN", "d") == 15
    assert raw.call("JSON.NUMMULTBY", "d", "$[*]", "2") == b"[" + b",".join([b"1.0"] * 15) + b"]"


def test_arithmetic(raw, raw3, put):
    put('{"a":"b","b":[{"a":2},{"a":5.0},{"a":"c"}]}')
    assert raw.call("JSON.NUMINCRBY", "d", "$..a", "2") == b"[null,4,7.0,null]"
    assert raw.call("JSON.NUMINCRBY", "d", "$..a", "2.5") == b"[null,6.5,9.5,null]"
    assert raw3.call("JSON.NUMINCRBY", "d", "$..a", "0.5") == [None, 7.0, 10.0, None]
    put('{"i":3,"f":2.5,"s":"x","n":[1,2]}')
    assert raw.call("JSON.NUMINCRBY", "d", ".i", "1") == b"4" and raw3.call("JSON.NUMINCRBY", "d", ".i", "-1") == [3]
    assert raw.call("JSON.NUMMULTBY", "d", "$.i", "2.0") == b"[6.0]" and raw.call("JSON.NUMMULTBY", "d", ".f", "2") == b"5.0"
    assert raw.call("JSON.NUMPOWBY", "d", "$.n[1]", "10") == b"[1024]"
    assert raw.call("JSON.NUMPOWBY", "d", "$.f", "0.5") == b"[2.23606797749979]"
    assert raw.call("JSON.NUMINCRBY", "d", "$.s", "1") == b"[null]" and raw.call("JSON.NUMINCRBY", "d", "$.x", "1") == b"[]"
    for path in (".s", ".x"):
        assert raw.error("JSON.NUMINCRBY", "d", path, "1") == NO_PATH + " or does not contains a number"
    assert raw.error("JSON.NUMINCRBY", "none", "$", "1") == NO_KEY
    assert raw.error("JSON.NUMINCRBY", "d", "$.i", '"1"') == "bad input number"
    assert "column" in raw.error("JSON.NUMINCRBY", "d", "$.i", "x")


def test_arithmetic_at_the_limits(raw, put):
    top, bottom = 2**63 - 1, -2**63
    for start, name, by in ((top, "NUMINCRBY", 1), (bottom, "NUMINCRBY", -1), (top, "NUMMULTBY", 2), (top, "NUMPOWBY", 2),
                            (2, "NUMPOWBY", 10**9)):
        put(str(start))
        assert raw.error("JSON." + name, "d", ".", by) == "ERR numeric overflow" and raw.call("JSON.GET", "d") == b"%d" % start
    for start, name, by in (("1.7e308", "NUMINCRBY", "1.7e308"), ("1e308", "NUMMULTBY", "10"), ("1e10", "NUMPOWBY", "1e9"),
                            ("-8.0", "NUMPOWBY", "0.5"), ("0.0", "NUMPOWBY", "-1")):
        put(start)
        assert raw.error("JSON." + name, "d", ".", by) == "ERR result is not a number"
    put(f"[{top}]")
    assert raw.call("JSON.NUMINCRBY", "d", ".[0]", 1) == b"%d" % 2**63
    assert raw.call("JSON.NUMINCRBY", "d", ".[0]", 2**63 - 1) == b"%d" % (2**64 - 1)
    assert raw.error("JSON.NUMINCRBY", "d", ".[0]", 1) == "ERR numeric overflow"
    put(str(2**63))
    assert raw.call("JSON.NUMINCRBY", "d", ".", 1) == b"9.223372036854776e18"


def test_strings(both, raw, put):
    put('{"a":"foo","b":{"a":"h\\u00e9"},"c":{"a":31}}')
    assert raw.call("JSON.STRLEN", "d", "$..a") == [3, 3, None] and raw.call("JSON.STRLEN", "d", "..a") == 3
    assert raw.call("JSON.STRAPPEND", "d", "$..a", '"bar"') == [6, 6, None] and both.json().strappend("d", "x", "$.a") == [7]
    assert raw.call("JSON.STRAPPEND", "d", ".*.a", '"!"') == 7
    assert raw.call("JSON.GET", "d", "$..a").decode() == '["foobarx","hébar!",31]'
    assert raw.error("JSON.STRAPPEND", "d", "$.a", "1") == "WRONGTYPE wrong type of path value - expected string"
    assert raw.error("JSON.STRAPPEND", "d", ".c", '"x"') == NO_PATH + " or not a string"
    assert raw.call("JSON.STRAPPEND", "d", "$.c", '"x"') == [None]
    assert raw.error("JSON.STRLEN", "d", ".c") == "WRONGTYPE wrong type of path value - expected string"
    assert raw.error("JSON.STRLEN", "d", ".x") == NO_PATH
    assert raw.call("JSON.STRLEN", "none") is None
    assert raw.error("JSON.STRLEN", "none", "$") == NO_KEY == raw.error("JSON.STRAPPEND", "none", '"x"')
    put('"abcd"')
    assert raw.call("JSON.STRAPPEND", "d", '"ef"') == 6 and raw.call("JSON.STRLEN", "d") == 6


def test_toggle(raw, raw3, put):
    put('{"a":["x"],"b":{"a":false},"c":{"a":31},"d":{"a":true}}')
    assert raw.call("JSON.TOGGLE", "d", "$..a") == [None, 1, None, 0]
    assert raw3.call("JSON.TOGGLE", "d", "$..a") == [None, 0, None, 1]
    assert raw.call("JSON.TOGGLE", "d", ".b.a") == b"true" and raw.call("JSON.TOGGLE", "d", ".b.a") == b"false"
    assert raw.error("JSON.TOGGLE", "d", ".c") == raw.error("JSON.TOGGLE", "d", ".x") == NO_PATH + " or not a bool"
    assert raw.call("JSON.TOGGLE", "d", "$.x") == [] and raw.error("JSON.TOGGLE", "none", "$") == NO_KEY
