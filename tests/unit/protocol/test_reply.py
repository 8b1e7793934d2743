"""Every kind of value on both protocols."""
import pytest

from respserver.protocol.errors import CommandError
from respserver.protocol.reply import (
    NULL_ARRAY, OK, BigNumber, Pairs, Push, Raw, SetOf, Simple, Verbatim, encode, format_double,
)


@pytest.mark.parametrize("value, resp2, resp3", [
    (b"a\r\nb", b"$4\r\na\r\nb\r\n", None),
    (b"", b"$0\r\n\r\n", None),
    ("\u00e9", b"$2\r\n\xc3\xa9\r\n", None),
    (0, b":0\r\n", None), (1023, b":1023\r\n", None), (1024, b":1024\r\n", None), (-5, b":-5\r\n", None),
    (2**62, b":4611686018427387904\r\n", None),
    (None, b"$-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"), (False, b":0\r\n", b"#f\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"), (3.0, b"$1\r\n3\r\n", b",3\r\n"), (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
    ([], b"*0\r\n", None), ([1, [b"a", None]], b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n", b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n"),
    ((1, 2), b"*2\r\n:1\r\n:2\r\n", None),
    ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
    (Pairs([(b"a", 1), (b"a", [])]), b"*4\r\n$1\r\na\r\n:1\r\n$1\r\na\r\n*0\r\n", b"%2\r\n$1\r\na\r\n:1\r\n$1\r\na\r\n*0\r\n"),
    ({b"a"}, b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"), (SetOf([1]), b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
    (Simple("fine"), b"+fine\r\n", None), (OK, b"+OK\r\n", None), (Raw(b":9\r\n"), b":9\r\n", None),
    ([Raw(b":9\r\n")], b"*1\r\n:9\r\n", None),
    (CommandError("ERR no\r\nway"), b"-ERR no  way\r\n", None), ([CommandError("ERR x")], b"*1\r\n-ERR x\r\n", None),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (Verbatim("ab"), b"$2\r\nab\r\n", b"=6\r\ntxt:ab\r\n"),
    (Push([b"message", 1]), b"*2\r\n$7\r\nmessage\r\n:1\r\n", b">2\r\n$7\r\nmessage\r\n:1\r\n"),
    (BigNumber(2**70), b"$22\r\n1180591620717411303424\r\n", b"(1180591620717411303424\r\n"),
])
def test_encode(value, resp2, resp3):
    assert encode(value, 2) == resp2
    assert encode(value, 3) == (resp2 if resp3 is None else resp3)


def test_what_has_no_wire_form_is_refused():
    with pytest.raises(TypeError):
        encode(object(), 2)
    with pytest.raises(TypeError):
        encode([b"a", object()], 3)


@pytest.mark.parametrize("value, text", [(3.0, "3"), (0.1, "0.1"), (-0.0, "-0"), (1e16, "10000000000000000"), (1e17, "1e+17"),
                                         (1e-7, "1e-07"), (float("-inf"), "-inf"), (float("nan"), "nan")])
def test_format_double(value, text):
    assert format_double(value) == text
