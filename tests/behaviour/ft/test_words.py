"""Synonyms, dictionaries, spelling and suggestions."""
import redis
from pytest import approx, raises

from samples import results, text


def ids(client, query, *words):
    return {key for key, _ in results(client.execute_command("FT.SEARCH", "idx", query, *words, "NOCONTENT", "DIALECT", 2))[1]}


def flat(reply):
    return {text(key): [text(one) for one in value]
            for key, value in (reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2]))}


def test_synonyms(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    for key, words in {"a": "a boy", "b": "one child", "c": "two kids", "d": "a girl"}.items():
        both.hset(key, "t", words)
    assert ids(both, "child") == {"b"}
    both.execute_command("FT.SYNUPDATE", "idx", "g1", "boy", "Child", "girl")
    assert ids(both, "child") == ids(both, "girl") == {"a", "b", "d"} and ids(both, "child", "VERBATIM") == {"b"}
    both.execute_command("FT.SYNUPDATE", "idx", "g2", "SKIPINITIALSCAN", "kids", "boy")
    assert ids(both, "kids") == {"c"}
    both.hset("c", "t", "more kids")
    assert ids(both, "boy") == {"a", "b", "c", "d"}
    dumped = flat(both.execute_command("FT.SYNDUMP", "idx"))
    assert dumped == {"boy": ["g1", "g2"], "child": ["g1"], "girl": ["g1"], "kids": ["g2"]}
    assert "~g1(expanded)" in text(both.execute_command("FT.EXPLAIN", "idx", "boy"))
    for words in (("FT.SYNUPDATE", "nope", "g", "a"), ("FT.SYNUPDATE", "idx", "g"), ("FT.SYNDUMP", "nope"),
                  ("FT.SYNADD", "idx", "a", "b")):
        with raises(redis.ResponseError):
            both.execute_command(*words)


def test_dictionaries_and_spelling(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    both.hset("a", "t", "apple pie")
    both.hset("b", "t", "apple apples")
    assert both.execute_command("FT.DICTADD", "d", "aple", "pear", "pear", "") == 2
    assert {text(word) for word in both.execute_command("FT.DICTDUMP", "d")} == {"aple", "pear"}

    def near(*words):
        reply = both.execute_command("FT.SPELLCHECK", "idx", *words)
        if isinstance(reply, dict):
            return {text(term): {text(name): score for one in found for name, score in one.items()}
                    for term, found in reply[b"results"].items()}
        return {text(term): {text(name): float(score) for score, name in found} for _, term, found in reply}

    assert near("apl pie") == {"apl": {}} and near("appel") == {"appel": {"apple": 1.0}}
    assert near("aple|pi", "DISTANCE", 2)["aple"] | {"pie": 0.5} == {"pie": 0.5} | {"apple": approx(1.0), "apples": approx(0.5)}
    assert near("aple", "TERMS", "INCLUDE", "d")["aple"] == {"apple": 1.0, "aple": 0.0}
    assert near("aple", "TERMS", "EXCLUDE", "d") == {}
    for words in (("DISTANCE", 5), ("TERMS", "INCLUDE", "nope"), ("TERMS", "ALSO", "d"), ("TERMS",)):
        with raises(redis.ResponseError):
            near("aple", *words)
    assert both.execute_command("FT.DICTDEL", "d", "pear", "plum") == 1
    both.flushall()
    assert len(both.execute_command("FT.DICTDUMP", "d")) == 0


def test_suggestions(both):
    for string, score, *more in (("hello", 1), ("help", 2, "PAYLOAD", "p1"), ("Hello World", 3), ("yellow", 1)):
        size = both.execute_command("FT.SUGADD", "ac", string, score, *more)
    assert size == both.execute_command("FT.SUGLEN", "ac") == 4 and text(both.type("ac")) == "trietype0"

    def get(*words):
        return [text(word) if isinstance(word, bytes) else word for word in both.execute_command("FT.SUGGET", "ac", *words)]

    assert get("hel") == ["help", "Hello World", "hello"] == get("HEL") and get("hello", "MAX", 1) == ["hello"]
    assert get("hel", "MAX", 1, "WITHPAYLOADS") == ["help", "p1"] and get("jel") == []
    assert set(get("jel", "FUZZY")) == {"help", "Hello World", "hello", "yellow"}
    string, score = get("yel", "WITHSCORES")
    assert string == "yellow" and float(score) == approx(0.5)
    both.execute_command("FT.SUGADD", "ac", "yellow", 5, "INCR")
    assert float(get("yel", "WITHSCORES")[1]) == approx(3)
    assert both.execute_command("FT.SUGDEL", "ac", "help") == 1 and both.execute_command("FT.SUGDEL", "ac", "help") == 0
    assert get("help") == []
    for string in ("hello", "Hello World", "yellow"):
        both.execute_command("FT.SUGDEL", "ac", string)
    assert not both.exists("ac") and both.execute_command("FT.SUGLEN", "ac") == 0
    for string, *payload in (("One b", "PAYLOAD", "p"), ("one a", "PAYLOAD", ""), ("ONE A",)):
        both.execute_command("FT.SUGADD", "ties", string, 1, *payload)
    both.execute_command("FT.SUGADD", "ties", "two", 1)
    both.execute_command("FT.SUGADD", "ties", "twa", 90)
    assert both.execute_command("FT.SUGGET", "ties", "tw", "TRIM") == [b"twa"]
    assert both.execute_command("FT.SUGGET", "ties", "one", "WITHPAYLOADS") == [b"One b", b"p", b"one a", None, b"ONE A", None]
    assert both.execute_command("FT.SUGGET", "ties", "ONE A") == [b"one a", b"ONE A"]
    both.set("s", "x")
    for words in (("FT.SUGADD", "s", "x", 1), ("FT.SUGADD", "ac", "x", "y"), ("FT.SUGGET", "s", "x"),
                  ("FT.SUGGET", "ac", "x", "MAX", 0)):
        with raises(redis.ResponseError):
            both.execute_command(*words)


def test_spelling_in_fields_by_parameters_and_case(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "u", "TEXT", "n", "NUMERIC")
    both.hset("a", mapping={"t": "name1", "u": "x", "n": "inf"})
    both.hset("b", mapping={"t": "name2", "u": "name2"})

    def near(query, *words):
        reply = both.execute_command("FT.SPELLCHECK", "idx", query, *words, "DIALECT", 2)
        if isinstance(reply, dict):
            return {text(term): [text(name) for one in found for name in one] for term, found in reply[b"results"].items()}
        return {text(term): [text(name) for _, name in found] for _, term, found in reply}

    assert near("@u:name") == {"name": ["name2"]} and set(near("name")["name"]) == {"name1", "name2"}
    assert near("$q", "PARAMS", 2, "q", "nam") == near("%$q%", "PARAMS", 2, "q", "nam") == {"nam": []}
    both.execute_command("FT.DICTADD", "d", "Toonif", "toonie")
    assert near("Tooni", "TERMS", "INCLUDE", "d") == {"tooni": ["Toonif", "toonie"]}
    for words in (("$q",), ("$q", "PARAMS", 1, "q")):
        with raises(redis.ResponseError):
            near(*words)
    assert ids(both, "@n:[(inf inf]") == set() and ids(both, "@n:[inf inf]") == {"a"}


def test_malay_is_stemmed_as_indonesian(both):
    both.execute_command("FT.CREATE", "idx", "LANGUAGE", "malay", "SCHEMA", "t", "TEXT")
    both.hset("a", "t", "perniagaan")
    both.hset("b", "t", "berniaga")
    assert text(both.execute_command("FT.EXPLAIN", "idx", "berniaga", "LANGUAGE", "malay")).count("niaga") >= 2
