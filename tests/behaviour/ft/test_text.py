"""Queries on TEXT fields through a client."""
import re

import redis
from pytest import approx, mark, raises

from samples import create, fill, results, text, vectors

DOCUMENTS = {"d:1": "The quick brown fox jumps over the lazy dog", "d:2": "Quick foxes run", "d:3": "A dog and a quick brown cat",
             "d:4": "Slow snails"}


def library(client, *words):
    client.execute_command("FT.CREATE", "idx", "PREFIX", 1, "d:", *words, "SCHEMA", "t", "TEXT", "SORTABLE", "n",
                           "NUMERIC", "g", "TAG")
    for i, (key, words) in enumerate(DOCUMENTS.items()):
        client.hset(key, mapping={"t": words, "n": i, "g": "even" if i % 2 == 0 else "odd"})


def ids(client, query, *words):
    return [key for key, _ in results(client.execute_command("FT.SEARCH", "idx", query, *words, "NOCONTENT", "DIALECT", 2))[1]]


def test_queries(both):
    library(both)
    for query, expected in (("fox", {"d:1", "d:2"}), ("foxes run", {"d:2"}), ('"brown fox"', {"d:1"}),
                            ("qui* -run", {"d:1", "d:3"}), ("%quack%", {"d:1", "d:2", "d:3"}), ("slow|lazy", {"d:1", "d:4"}),
                            ("w'?u*k'", {"d:1", "d:2", "d:3"}), ("*ails", {"d:4"}), ("*row*", {"d:1", "d:3"}), ("the", set()),
                            ("quick @n:[1 2]", {"d:2", "d:3"}), ("dog @g:{even}", {"d:1", "d:3"}), ("-quick", {"d:4"}),
                            ("~quick @g:{odd}", {"d:2", "d:4"}), ("(quick dog)=>{$slop:1}", {"d:3"}),
                            ("(dog quick)=>{$inorder:true}", {"d:3"}), ("@t:(brown (cat|fox))", {"d:1", "d:3"})):
        assert set(ids(both, query)) == expected, query
    assert ids(both, "fox", "VERBATIM") == ["d:1"]
    assert ids(both, "quick", "INFIELDS", 1, "nope") == []
    assert set(ids(both, "quick dog", "SLOP", 1)) == {"d:3"}


def test_expansions_of_fields_that_do_not_stem(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "a", "TEXT", "b", "TEXT", "NOSTEM")
    both.hset("d:1", "b", "candi")
    both.hset("d:2", "a", "candies")
    assert ids(both, "@a|b:candy") == ["d:2"] and ids(both, "@a|b:candi") == ["d:1", "d:2"]
    both.hset("d:3", "a", "705")
    for query, expected in (("@a|b:candy", "@a|b:UNION {\n  @a|b:candy\n  @a:+candi(expanded)\n  @a:candi(expanded)\n}\n"),
                            ("705", "705\n"),
                            ("(a)=>{$slop:2}", "UNION {\n  a => {$slop: 2; $inorder: false;}\n  +a(expanded)\n}\n")):
        assert text(both.execute_command("FT.EXPLAIN", "idx", query, "NOSTOPWORDS", "DIALECT", 2)) == expected
    assert ids(both, "705") == ["d:3"]
    assert text(both.execute_command("FT.EXPLAIN", "idx", "@c:[0 1]", "DIALECT", 1)) == "<empty>\n"
    assert "IDS {a,b,}" in text(both.execute_command("FT.EXPLAIN", "idx", "705", "INKEYS", 2, "a", "b", "DIALECT", 2))
    for query, message in (("@a|\"\":x", "Unknown field"), ("x=>{$weight:\"\"}", "Invalid value () for `weight`")):
        with raises(redis.ResponseError, match=re.escape(message)):
            ids(both, query)


def test_raw_ids_and_sort_keys(both):
    library(both)
    reply = both.execute_command("FT.SEARCH", "idx", "snails", "WITHRAWIDS", "NOCONTENT")
    assert (reply[1:] == [b"d:4", 4]) if both.protocol == 2 else reply[b"results"][0][b"docId"] == 4
    reply = both.execute_command("FT.AGGREGATE", "idx", "@n:[2 3]", "WITHSORTKEYS", "LOAD", 1, "@n", "SORTBY", 2, "@t",
                                 "DESC", "LIMIT", 0, 1)
    assert (reply[1] if both.protocol == 2 else reply[b"results"][0][b"sortkey"]) == b"$slow snails"


def test_removed_words_do_not_count_as_expansions(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    for i in range(200):
        both.hset(f"d:{i}", "t", f"term{i}")
    both.hset("last", "t", "termzzz")
    both.delete(*[f"d:{i}" for i in range(200)])
    both.execute_command("_FT.DEBUG", "GC_FORCEINVOKE", "idx")
    assert ids(both, "term*") == ["last"]
    shown = results_of_info(both)
    assert float(shown["gc_stats"]["bytes_collected"]) > 0 and float(shown["offset_vectors_sz_mb"]) > 0
    assert float(shown["key_table_size_mb"]) > 0


def results_of_info(client):
    def pairs(reply):
        return {text(name): value for name, value in (reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2]))}
    shown = pairs(client.execute_command("FT.INFO", "idx"))
    return {**shown, "gc_stats": pairs(shown["gc_stats"])}


def test_large_pages_keep_to_the_time_limit(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    pipe = both.pipeline()
    for i in range(12000):
        pipe.hset(f"d:{i}", "t", f"word{i}")
    pipe.execute()
    both.config_set("search-max-prefix-expansions", 100000)
    try:
        total, found = results(both.execute_command("FT.SEARCH", "idx", "*", "LIMIT", 0, 12000, "TIMEOUT", 1))
        assert len(found) < 12000
        both.config_set("search-on-timeout", "fail")
        for query in ("*", "word*"):
            with raises(redis.ResponseError, match="Timeout limit was reached"):
                both.execute_command("FT.SEARCH", "idx", query, "LIMIT", 0, 12000, "TIMEOUT", 1)
    finally:
        both.config_set("search-on-timeout", "return")
        both.config_set("search-max-prefix-expansions", 200)


def test_changes_are_seen_at_once(both):
    library(both)
    both.hset("d:4", "t", "foxes everywhere")
    assert set(ids(both, "fox")) == {"d:1", "d:2", "d:4"} and ids(both, "snails") == []
    both.hset("d:4", "n", 17)
    assert set(ids(both, "fox")) == {"d:1", "d:2", "d:4"}
    both.hdel("d:4", "t")
    both.delete("d:1")
    assert ids(both, "fox") == ["d:2"]
    both.rename("d:2", "d:5")
    assert ids(both, "fox") == ["d:5"]


def test_scores(r3):
    library(r3)
    reply = r3.execute_command("FT.SEARCH", "idx", "quick fox", "WITHSCORES", "EXPLAINSCORE", "NOCONTENT", "DIALECT", 2)
    first, second = reply[b"results"]
    assert first[b"score"][0] >= second[b"score"][0] > 0
    assert text(first[b"score"][1][0]).startswith("Final BM25 : words BM25")
    plain = r3.execute_command("FT.SEARCH", "idx", "quick fox", "WITHSCORES", "NOCONTENT", "DIALECT", 2)[b"results"]
    assert [row[b"score"] for row in plain] == approx([first[b"score"][0], second[b"score"][0]])
    best = r3.execute_command("FT.SEARCH", "idx", "quick", "WITHSCORES", "SCORER", "BM25STD.NORM", "NOCONTENT",
                              "DIALECT", 2)[b"results"]
    assert best[0][b"score"] == 1
    rows = r3.execute_command("FT.AGGREGATE", "idx", "quick", "ADDSCORES", "SORTBY", 2, "@__score", "DESC",
                              "DIALECT", 2)[b"results"]
    assert ([float(row[b"extra_attributes"][b"__score"]) for row in rows]
            == sorted([float(row[b"extra_attributes"][b"__score"]) for row in rows])[::-1])


def test_what_lacks_a_word_has_no_score(r3):
    library(r3)
    for scorer in ("TFIDF", "BM25", "DISMAX"):
        reply = r3.execute_command("FT.SEARCH", "idx", "-snail", "WITHSCORES", "NOCONTENT", "SCORER", scorer, "DIALECT", 2)
        assert {row[b"score"] for row in reply[b"results"]} == {0}, scorer


def test_text_filters_vectors(r3):
    create(r3, schema=("t", "TEXT"))
    base = vectors(60, 8)
    fill(r3, base)
    for i in range(0, 60, 3):
        r3.hset(f"d:{i}", "t", "chosen ones" if i % 2 else "others")
    rows = results(r3.execute_command("FT.SEARCH", "idx", "@t:choose=>[KNN 5 @v $b AS d]", "PARAMS", 2, "b", base[9].tobytes(),
                                      "DIALECT", 2))[1]
    assert rows == []
    rows = results(r3.execute_command("FT.SEARCH", "idx", "@t:chosen=>[KNN 5 @v $b AS d]", "PARAMS", 2, "b", base[9].tobytes(),
                                      "SORTBY", "d", "NOCONTENT", "DIALECT", 2))[1]
    assert rows[0][0] == "d:9" and len(rows) == 5 and all(int(key[2:]) % 6 == 3 for key, _ in rows)


def test_a_changed_schema(both):
    library(both)
    both.hset("d:1", "u", "unicorns")
    both.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "u", "TEXT")
    assert ids(both, "unicorn") == ids(both, "@u:unicorn fox") == ["d:1"]


def test_explain(both):
    library(both)
    assert text(both.execute_command("FT.EXPLAIN", "idx",
                                     "running")) == "UNION {\n  running\n  +run(expanded)\n  run(expanded)\n}\n"
    assert text(both.execute_command("FT.EXPLAIN", "idx", "running", "VERBATIM")) == "running\n"
    with raises(redis.ResponseError, match="No such scorer"):
        ids(both, "fox", "SCORER", "NOPE")


PLACES = {"paris": "2.3522,48.8566", "versailles": "2.1204 48.8049", "london": "-0.1276,51.5072", "tokyo": "139.6917,35.6895"}


def test_geo(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "l", "GEO", "SORTABLE", "n", "TAG")
    for name, place in PLACES.items():
        both.hset(name, mapping={"l": place, "n": name})
    for query, expected in (("@l:[2.35 48.85 10 km]", {"paris"}), ("@l:[2.35 48.85 30000 m]", {"paris", "versailles"}),
                            ("@l:[2.35 48.85 220 mi]", {"paris", "versailles", "london"}),
                            ("-@l:[2.35 48.85 30 km]", {"london", "tokyo"}),
                            ("@l:[139 35 200 km] | @n:{london}", {"london", "tokyo"}), ("@l:[0 0 20015 km]", set(PLACES))):
        assert set(ids(both, query)) == expected, query
    assert set(ids(both, "*", "GEOFILTER", "l", 2.35, 48.85, 30, "km")) == {"paris", "versailles"}
    both.hset("paris", "l", "10,10")
    both.delete("versailles")
    assert ids(both, "@l:[2.35 48.85 30 km]") == [] and ids(both, "@l:[10 10 1 m]") == ["paris"]


def test_shapes(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "g", "GEOSHAPE", "FLAT")
    shapes = {"big": "POLYGON((1 1, 1 10, 10 10, 10 1, 1 1))", "small": "POLYGON((2 2, 2 4, 4 4, 4 2, 2 2))",
              "point": "POINT(3 3)", "far": "POINT(25 25)", "bad": "LINESTRING(0 0, 1 1)"}
    for key, shape in shapes.items():
        both.hset(key, "g", shape)

    def those(predicate, shape):
        return set(ids(both, f"@g:[{predicate} $w]", "PARAMS", 2, "w", shape))

    for _ in range(2):
        assert those("WITHIN", "POLYGON((0 0, 0 11, 11 11, 11 0, 0 0))") == {"big", "small", "point"}
        assert those("CONTAINS", "POINT(3 3)") == {"big", "small"}
        assert those("INTERSECTS", "POINT(3 3)") == {"big", "small", "point"}
        assert those("DISJOINT", "POLYGON((0 0, 0 11, 11 11, 11 0, 0 0))") == {"far"}
        for i in range(400):                    # more than are looked at one by one
            both.hset(f"x{i}", "g", f"POINT({100 + i} 100)")
            both.delete(f"x{i}")
    with raises(redis.ResponseError, match="Error querying geoshape index"):
        those("WITHIN", "nonsense")


def test_highlighted_and_summarized(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "b", "TEXT")
    both.hset("d1", mapping={"t": "The Quick brown fox",
                             "b": "Lorem ipsum dolor sit amet, the quick brown fox jumps over the lazy dog. " * 2})
    both.hset("d2", mapping={"t": "nothing at all", "b": "fox"})

    def fields(*words):
        return {key: {name: text(value) for name, value in one.items()}
                for key, one in results(both.execute_command("FT.SEARCH", "idx", "fox", *words, "DIALECT", 2))[1]}

    found = fields("HIGHLIGHT", "FIELDS", 1, "t", "TAGS", "[", "]")
    assert found["d1"]["t"] == "The Quick brown [fox]" and "[" not in found["d1"]["b"]
    assert found["d2"] == {"t": "nothing at all", "b": "fox"}
    found = fields("SUMMARIZE", "FIELDS", 1, "b", "FRAGS", 2, "LEN", 5, "SEPARATOR", " / ", "HIGHLIGHT", "FIELDS", 1, "b",
                   "RETURN", 1, "b")
    assert found["d1"] == {"b": "brown <b>fox</b> jumps over / brown <b>fox</b> jumps over / "}
    assert fields("SUMMARIZE", "FIELDS", 1, "t")["d2"]["t"] == "nothing at"
    with raises(redis.ResponseError, match="No such property `nope`"):
        fields("HIGHLIGHT", "FIELDS", 1, "nope")


def test_what_summaries_keep(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "u", "TEXT")
    r2.hset("a", mapping={"t": "\nOne fox\n\n  here. " + "x " * 20 + "one fox and one fox again " + "yyyyyyyy " * 9
                          + "a fox\nand a dog", "u": "Great (Clips)"})

    def texts(*words):
        found = r2.execute_command("FT.SEARCH", "idx", "fox|dog", "SUMMARIZE", *words)[2]
        return {key.decode(): value.decode() for key, value in zip(found[::2], found[1::2])}

    # As many of the terms as there are, however often; ends of lines are blanks that do not end a word.
    assert texts("FRAGS", 1, "LEN", 2)["t"] == "a fox and a dog... " and texts()["u"] == "Great (Clips)"
    assert (r2.execute_command("FT.SEARCH", "idx", "-cat", "SUMMARIZE", "LEN", 1, "FRAGS", 1, "RETURN", 1, "t")[2]
            == [b"t", b" One fox"])


def test_totals_as_far_as_needed(both):
    library(both)
    reply = both.execute_command("FT.SEARCH", "idx", "*", "LIMIT", 0, 2, "NOCONTENT", "WITHOUTCOUNT")
    assert results(reply)[0] == 2
    assert results(both.execute_command("FT.SEARCH", "idx", "*", "LIMIT", 0, 2, "NOCONTENT", "DIALECT", 4))[0] == 2
    assert results(both.execute_command("FT.SEARCH", "idx", "*", "LIMIT", 0, 2, "WITHCOUNT", "NOCONTENT", "DIALECT", 4))[0] > 2


def test_sorted_by_what_is_loaded(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "AS", "name", "TEXT", "SORTABLE")
    for key, name in (("b", "Bee"), ("c", "ant"), ("a", "Cat")):
        r2.hset(key, "t", name)
    assert (r2.execute_command("FT.SEARCH", "idx", "*", "LOAD", 1, "@__key", "SORTBY", "__key", "NOCONTENT")
            == [3, b"a", b"b", b"c"])
    assert (r2.execute_command("FT.SEARCH", "idx", "*", "LOAD", "*", "SORTBY", "name", "LIMIT", 0, 1)
            == [3, b"c", [b"name", b"ant", b"t", b"ant"]])
    assert r2.execute_command("FT.SEARCH", "idx", "bee", "SORTBY", "name") == [1, b"b", [b"name", b"bee", b"t", b"Bee"]]
    with raises(redis.ResponseError, match="not loaded nor in schema"):
        r2.execute_command("FT.SEARCH", "idx", "*", "SORTBY", "__key")


def test_profiles_of_intersections_and_scores(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC")
    for key, words in {"a": "rare common", "b": "common", "c": "common"}.items():
        r2.hset(key, mapping={"t": words, "n": 1})
    r2.config_set("search-_print-profile-clock", "no")

    def profile(*words):
        shard = r2.execute_command("FT.PROFILE", "idx", *words)[1][1][0]
        return dict(zip(shard[::2], shard[1::2]))

    steps = profile("SEARCH", "QUERY", "common rare", "SCORER", "BM25STD.NORM")
    assert [child[5] for child in steps[b"Iterators profile"][5]] == [1, 1]       # as often as asked
    assert ([one[1] for one in steps[b"Result processors profile"]]
            == [b"Index", b"Scorer", b"Score Max Normalizer", b"Sorter", b"Loader"])
    assert ([child[1] for child in profile("SEARCH", "QUERY", "rare", "INKEYS", 1, "a")[b"Iterators profile"][5]]
            == [b"ID-LIST-SORTED", b"TEXT"])
    for words, stages in ((("ADDSCORES", "SCORER", "BM25STD.NORM"), [b"Index", b"Scorer", b"Score Max Normalizer"]),
                          (("GROUPBY", 1, "@t"), [b"Index", b"Loader", b"Grouper"])):
        assert [one[1] for one in profile("AGGREGATE", "QUERY", "common", *words)[b"Result processors profile"]] == stages
    r2.config_set("search-_print-profile-clock", "yes")


def test_empty_strings(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "INDEXEMPTY", "u", "TEXT")
    r2.execute_command("FT.CREATE", "json", "ON", "JSON", "SCHEMA", "$t", "AS", "t", "TEXT", "INDEXEMPTY")
    r2.hset("a", mapping={"t": "", "u": "x"})
    r2.hset("b", "t", "sr")
    r2.execute_command("JSON.SET", "j", "$", '{"t": ["a", ""]}')

    def found(query, *words, index="idx", dialect=2):
        return set(r2.execute_command("FT.SEARCH", index, query, *words, "NOCONTENT", "DIALECT", dialect)[1:])

    assert found('@t:("")', index="json") == {b"j"} and found('@t:("")') == found("@t:($p)", "PARAMS", 2, "p", "") == {b"a"}
    assert found("@t:%s%") == found("%%''%%") == {b"a", b"b"} and found('@u:(%""%)') == {b"a"}
    assert found("@t:%s%", dialect=1) == {b"b"}
    with raises(redis.ResponseError, match="INDEXEMPTY"):
        found("@u:($p)", "PARAMS", 2, "p", "")
    assert (r2.execute_command("FT.SEARCH", "idx", '@t:("")', "HIGHLIGHT", "FIELDS", 1, "t", "RETURN", 1, "t", "DIALECT", 2)[2]
            == [b"t", b"<b></b>"])
    assert r2.execute_command("FT.SEARCH", "idx", '@t:("")', "SUMMARIZE", "RETURN", 1, "t", "DIALECT", 2)[2] == [b"t", b"... "]


def test_what_highlighting_needs(r2):
    for name, option in (("a", "NOHL"), ("b", "NOOFFSETS")):
        r2.execute_command("FT.CREATE", name, option, "SCHEMA", "t", "TEXT")
        with raises(redis.ResponseError, match="Cannot use highlight/summarize"):
            r2.execute_command("FT.SEARCH", name, "x", "SUMMARIZE")


def test_letters_without_case(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "g", "TAG")
    r2.hset("a", mapping={"t": "ΝΕΑΝΊΑΣ", "g": "ΣΣ"})
    assert (r2.execute_command("FT.SEARCH", "idx", "νεανίασ", "NOCONTENT")
            == r2.execute_command("FT.SEARCH", "idx", "@g:{σσ}", "NOCONTENT") == [1, b"a"])


def test_scores_to_the_last_digit(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    r2.hset("a", "t", "foo")
    assert r2.execute_command("FT.SEARCH", "idx", "foo", "NOCONTENT", "LIMIT", 0, 0) == [1]
    assert r2.execute_command("FT.SEARCH", "idx", "foo", "WITHSCORES", "NOCONTENT")[2] == b"0.28768207245178085"
    explained = r2.execute_command("FT.SEARCH", "idx", "fo*", "WITHSCORES", "EXPLAINSCORE", "NOCONTENT")[2]
    assert explained[1][1][0].startswith(b"foo: (0.29")             # the only word is not told as one of several


def test_infixes_of_fields_with_and_without_a_suffix_index(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "WITHSUFFIXTRIE", "u", "TEXT")
    r2.hset("a", mapping={"t": "hello", "u": "hello"})
    assert r2.execute_command("FT.SEARCH", "idx", "@t:*ell*", "NOCONTENT") == [1, b"a"]
    with raises(redis.ResponseError, match="without WITHSUFFIXTRIE"):
        r2.execute_command("FT.SEARCH", "idx", "@u:*ell*")


def test_chinese(both):
    """Without blanks, words are found by their characters, next to each other."""
    both.execute_command(*"FT.CREATE idx LANGUAGE chinese LANGUAGE_FIELD lang SCHEMA t TEXT".split())
    for key, words in {"a": "我喜欢编程", "b": "编写程序，喜欢redis客户端。", "c": "Programming is fun"}.items():
        both.hset(key, "t", words)
    both.hset("d", mapping={"t": "我喜欢编程", "lang": "english"})
    for query, found in (("编程", {"a"}), ("喜欢", {"a", "b"}), ("喜欢 我", {"a"}), ('"喜欢编程"', {"a"}), ("redis", {"b"}),
                         ("redis客户端", {"b"}), ("程编", set()), ("fun", {"c"}), ("。", set()), ("我喜欢编程 -喜欢", set())):
        assert set(ids(both, query)) == found, query
        assert set(ids(both, query, "LANGUAGE", "chinese", "SCORER", "TFIDF")) == found, query
    assert ids(both, "我喜欢编程", "LANGUAGE", "english") == ["d"]


@mark.parametrize("options", [("RETURN", "1", "t"), ("RETURN", "3", "t", "AS", "u"), ("NOCONTENT",),
                              ("RETURN", "2", "g", "t", "LIMIT", "1", "2")], ids=" ".join)
def test_repeated_searches_tell_what_is_there_now(r2, r3, options):
    r2.execute_command("FT.CREATE", "idx", "PREFIX", "1", "d:", "SCHEMA", "t", "TEXT", "g", "TAG", "n", "NUMERIC")

    def found(query, r):
        replies = [r.execute_command("FT.SEARCH", "idx", query, *options, "DIALECT", "2") for _ in range(3)]
        assert replies[0] == replies[1] == replies[2]
        usual = r.execute_command("FT.SEARCH", "idx", query, *options, "DIALECT", "2", "INKEYS", "9",
                                  *(f"d:{i}" for i in range(9)))
        assert replies[0] == usual
        return replies[0]

    def check():
        for query in ("word", "wor* -@g:{x}", "@g:{x} @n:[1 5]", '"a word"', "@n:[2 4]"):
            assert found(query, r2)[0] == found(query, r3)[b"total_results"]

    check()
    for i in range(6):
        r2.hset(f"d:{i}", mapping={"t": f"a word {i}", "g": "xy"[i % 2], "n": i})
    check()
    r2.hset("d:2", "t", "another word")
    r2.hset("d:3", "n", 9)
    r2.hset("d:7", mapping={"g": "x", "n": 3})          # without a text
    check()
    r2.delete("d:4")
    r2.rename("d:0", "d:8")
    check()
    r2.set("unrelated", 1, ex=1000)
    check()
