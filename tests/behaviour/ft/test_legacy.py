"""FT.ADD, FT.GET, FT.MGET and FT.DEL: documents as hashes."""
import redis
from pytest import mark, raises

from samples import results, text


def add(client, *words):
    return text(client.execute_command("FT.ADD", "idx", *words))


def pairs(reply):
    words = [text(word) for word in reply]
    return dict(zip(words[::2], words[1::2]))


def test_documents(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC", "e", "TEXT")
    assert add(both, "a", "0.5", "LANGUAGE", "french", "PAYLOAD", "p", "FIELDS", "t", "bonjour", "n", 1) == "OK"
    assert both.hgetall("a") == {b"t": b"bonjour", b"n": b"1", b"__score": b"0.5", b"__language": b"french", b"__payload": b"p"}
    assert pairs(both.execute_command("FT.GET", "idx", "a")) == {"t": "bonjour", "n": "1"}
    found, = results(both.execute_command("FT.SEARCH", "idx", "bonjour"))[1]
    assert {text(key): text(value) for key, value in found[1].items()} == {"t": "bonjour", "n": "1"}
    both.set("plain", 1)
    for words in (("a", 1, "FIELDS", "t", "x"), ("b", 2, "FIELDS", "t", "x"), ("b", 1), ("b", 1, "FIELDS", "t"), ("b", 1, "WHAT"),
                  ("b", "one", "FIELDS", "t", "x"), ("b", 1, "NOCREATE", "FIELDS", "t", "x"), ("plain", 1, "FIELDS", "t", "x"),
                  ("b", 1, "LANGUAGE", "klingon", "FIELDS", "t", "x")):
        with raises(redis.ResponseError):
            add(both, *words)
    assert add(both, "a", 1, "REPLACE", "PARTIAL", "FIELDS", "n", 2) == "OK" and both.hget("a", "t") == b"bonjour"
    assert add(both, "a", 1, "REPLACE", "FIELDS", "n", 3) == "OK" and both.hget("a", "t") is None
    assert [None if one is None else pairs(one) for one in both.execute_command("FT.MGET", "idx", "a", "b")] == [{"n": "3"}, None]
    assert both.execute_command("FT.DEL", "idx", "a", "DD") == 1 and both.execute_command("FT.DEL", "idx", "a") == 0
    assert not both.exists("a") and both.execute_command("FT.GET", "idx", "a") is None


@mark.parametrize("condition, holds", [("@t=='x'", True), ("@n>5", False), ("!exists(@e)", True), ("@e", False),
                                       ("!@t==@e", False), ("@t||@e", True)])
def test_conditions(r2, condition, holds):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC", "e", "TEXT")
    assert add(r2, "a", 1, "IF", "nonsense(", "FIELDS", "t", "x", "n", 5) == "OK"
    assert add(r2, "a", 1, "REPLACE", "PARTIAL", "IF", condition, "FIELDS", "n", 7) == ("OK" if holds else "NOADD")
    assert r2.hget("a", "n") == (b"7" if holds else b"5")
    for wrong in ("nonsense(", "@nope", "to_number(@t)"):
        with raises(redis.ResponseError):
            add(r2, "a", 1, "REPLACE", "IF", wrong, "FIELDS", "n", 7)


def test_scores_of_additions(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    add(r2, "a", "0.25", "LANGUAGE", "french", "PAYLOAD", "p", "FIELDS", "t", "majestueuse")
    found = r2.execute_command("FT.SEARCH", "idx", "majestueux", "LANGUAGE", "french", "SCORER", "DOCSCORE", "WITHSCORES",
                               "WITHPAYLOADS", "NOCONTENT")
    assert found == [1, b"a", b"0.25", b"p"]
    r2.execute_command("FT.SAFEADD", "idx", "a", 1, "REPLACE", "PARTIAL", "FIELDS")
    assert r2.execute_command("FT.SEARCH", "idx", "*", "SCORER", "DOCSCORE", "WITHSCORES", "NOCONTENT") == [1, b"a", b"1"]
    assert r2.execute_command("FT.DROP", "idx", "_FORCEKEEPDOCS") in (b"OK", "OK") and r2.exists("a")
