"""What _FT.DEBUG, FT.CONFIG and INFO tell of the inside of the search module."""
import redis
from pytest import mark, raises

from samples import text


def debug(client, *words):
    reply = client.execute_command("_FT.DEBUG", *words)
    return [text(one) if isinstance(one, bytes) else one for one in reply] if isinstance(reply, list) else text(reply) if isinstance(reply, bytes) else reply


def test_dumps(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "WITHSUFFIXTRIE", "g", "TAG", "WITHSUFFIXTRIE", "n", "NUMERIC", "s", "GEOSHAPE")
    both.hset("a", mapping={"t": "apples old", "g": "red", "n": 1, "s": "POINT(1 1)"})
    both.hset("b", mapping={"t": "old", "g": "red,blue", "n": 2})
    assert debug(both, "DUMP_TERMS", "idx") == ["+appl", "apples", "old"]
    assert debug(both, "DUMP_INVIDX", "idx", "Old") == [1, 2] and debug(both, "DUMP_NUMIDX", "idx", "n") == [[1, 2]]
    assert both.execute_command("_FT.DEBUG", "DUMP_TAGIDX", "idx", "g") == [[b"blue", [2]], [b"red", [1, 2]]]
    assert debug(both, "INFO_TAGIDX", "idx", "g") == ["num_values", 2]
    shown = both.execute_command("_FT.DEBUG", "INFO_TAGIDX", "idx", "g", "DUMP_ID_ENTRIES", "OFFSET", 1, "LIMIT", 1)
    assert shown[3] == [[b"value", b"red", b"num_entries", 2, b"num_blocks", 1, b"entries", [1, 2]]]
    assert debug(both, "DUMP_SUFFIX_TRIE", "idx", "g") == ["blue", "ed", "lue", "red", "ue"]
    assert "ples" in debug(both, "DUMP_SUFFIX_TRIE", "idx") and debug(both, "DUMP_GEOMIDX", "idx", "s") == ["num_docs", 1]
    assert debug(both, "DOCIDTOID", "idx", "b") == 2 and debug(both, "DOCIDTOID", "idx", "c") == 0 and debug(both, "IDTODOCID", "idx", 2) == "b"
    assert debug(both, "DUMP_PHONETIC_HASH", "test") == ["<TST", "<TST"]
    both.delete("a")
    assert debug(both, "GC_FORCEINVOKE", "idx") == "DONE" and debug(both, "DUMP_TERMS", "idx") == ["old"]
    for words in (("DUMP_INVIDX", "idx", "apples"), ("DUMP_NUMIDX", "idx", "g"), ("DUMP_TAGIDX", "idx", "n"), ("IDTODOCID", "idx", 1), ("DUMP_TERMS",),
                  ("DUMP_SUFFIX_TRIE", "idx", "what"), ("TTL", "idx"), ("TTL", "nope"), ("GC_CONTINUE_SCHEDULE", "idx"), ("WHAT",)):
        with raises(redis.ResponseError):
            debug(both, *words)


def test_the_age_of_a_temporary_index(r2):
    r2.execute_command("FT.CREATE", "idx", "TEMPORARY", 3600, "SCHEMA", "t", "TEXT")
    assert 3590 < debug(r2, "TTL", "idx") <= 3600 and debug(r2, "TTL_PAUSE", "idx") == "OK"
    with raises(redis.ResponseError):
        debug(r2, "TTL_PAUSE", "idx")
    assert debug(r2, "GC_STOP_SCHEDULE", "idx") == debug(r2, "GC_CONTINUE_SCHEDULE", "idx") == debug(r2, "TTL_EXPIRE", "idx") == "OK"


@mark.parametrize("words, refusal", [
    (("_MIN_TRIM_DELAY_MS", 5000), "less than _MAX_TRIM_DELAY_MS .5000"), (("WORKERS", 99), "cannot exceed 16"), (("_BG_INDEX_MEM_PCT_THR", 101), "100%"),
    (("ON_OOM", "never"), "Invalid ON_OOM value"), (("EXTLOAD", 1), "Not modifiable"), (("MAX_AGGREGATE_GROUPS", 0), "acceptable bounds")])
def test_settings_that_cannot_be(r2, words, refusal):
    with raises(redis.ResponseError, match=refusal):
        r2.execute_command("FT.CONFIG", "SET", *words)


def test_the_default_scorer(r2):
    try:
        r2.config_set("search-enable-unstable-features", "yes")
        for wrong in ("NOTHING", ""):
            with raises(redis.ResponseError, match="default scorer"):
                r2.config_set("search-default-scorer", wrong)
        r2.config_set("search-default-scorer", "DOCSCORE")
        r2.execute_command("FT.CREATE", "idx", "SCORE", 0.25, "SCHEMA", "t", "TEXT")
        r2.hset("a", "t", "x")
        assert float(r2.execute_command("FT.SEARCH", "idx", "x", "WITHSCORES", "NOCONTENT")[2]) == 0.25
    finally:
        r2.config_set("search-default-scorer", "BM25STD")
        r2.config_set("search-enable-unstable-features", "no")


def test_complaints_and_sections(r2):
    assert "search_number_of_indexes" in r2.info("modules") and "search_total_queries_processed" not in r2.info("modules")
    r2.config_set("search-_info-on-zero-indexes", "yes")
    before = r2.info("modules")
    assert "search_total_queries_processed" in before
    r2.config_set("search-_info-on-zero-indexes", "no")
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    r2.hset("a", "t", "hello hell help")
    r2.config_set("search-max-prefix-expansions", 1)
    for name in ("FT.SEARCH", "FT.AGGREGATE"):
        r2.execute_command(name, "idx", "hel*")
        for words in (("a:", ), ("a", "MEOW")):
            with raises(redis.ResponseError):
                r2.execute_command(name, "idx", *words)
    r2.config_set("search-max-prefix-expansions", 200)
    after = r2.info("modules")
    assert [after[name] - before[name] for name in ("search_coord_total_query_errors_syntax", "search_coord_total_query_errors_arguments",
                                                    "search_coord_total_query_warnings_max_prefix_expansions")] == [2, 2, 2]


def test_errors_without_codes(r2):
    r2.config_set("search-error-codes", "no")
    try:
        for words, told in ((("FT.SEARCH", "nope", "a"), "No such index nope"), (("FT.INFO", "nope"), "nope: no such index"),
                            (("FT.CONFIG", "SET", "EXTLOAD", 1), "Not modifiable at runtime")):
            with raises(redis.ResponseError, match=f"^{told}$"):
                r2.execute_command(*words)
    finally:
        r2.config_set("search-error-codes", "yes")
    with raises(redis.ResponseError, match="^SEARCH_INDEX_NOT_FOUND Index not found: nope"):
        r2.execute_command("FT.INFO", "nope")


def test_filters_of_older_times(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "n", "NUMERIC", "g", "GEO")
    r2.hset("a", mapping={"n": 0, "g": "0,0"})
    for words in (("FILTER", "n", "", ""), ("GEOFILTER", "g", "", "", 1, "km")):
        assert r2.execute_command("FT.SEARCH", "idx", "*", *words, "NOCONTENT") == [1, b"a"]
        with raises(redis.ResponseError, match="cannot be empty"):
            r2.execute_command("FT.SEARCH", "idx", "*", *words, "DIALECT", 2)
    for words, refusal in ((("FILTER", "x", 0, 1), "Unknown Field"), (("FILTER", "g", 0, 1), "not a numeric field, field: g"),
                           (("GEOFILTER", "n", 0, 0, 1, "km"), "not a geo field, field: n")):
        assert r2.execute_command("FT.SEARCH", "idx", "*", *words, "NOCONTENT") == [0]
        with raises(redis.ResponseError, match=refusal):
            r2.execute_command("FT.SEARCH", "idx", "*", *words, "DIALECT", 2)
    with raises(redis.ResponseError, match="Unknown distance unit"):
        r2.execute_command("FT.SEARCH", "idx", "*", "GEOFILTER", "g", 0, 0, 1, "parsec")


@mark.parametrize("rule, taken", [("@a==1 || @b==1", "b"), ("@b==1 || @a==1", "b"), ("(@a==1 && @x==1) || (@b==1 && @c==2)", "b"),
                                  ("@t > 100", ""), ("@c > 1", "b")])
def test_rules_over_what_is_missing(r2, rule, taken):
    r2.execute_command("FT.CREATE", "idx", "FILTER", rule, "SCHEMA", "a", "NUMERIC", "t", "TEXT")
    r2.hset("b", mapping={"b": 1, "c": 2, "t": "hello"})
    r2.hset("x", mapping={"b": 0, "c": 1})
    assert r2.execute_command("FT.SEARCH", "idx", "*", "NOCONTENT")[1:] == ([taken.encode()] if taken else [])


def test_numbers_that_are_asked_for_are_shown_as_numbers(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "n", "NUMERIC", "m", "NUMERIC", "SORTABLE")
    r2.hset("a", mapping={"n": "1.0", "m": "2.50"})
    assert r2.execute_command("FT.SEARCH", "idx", "*", "RETURN", 2, "n", "m") == [1, b"a", [b"n", b"1", b"m", b"2.5"]]
    assert r2.execute_command("FT.SEARCH", "idx", "*") == [1, b"a", [b"n", b"1.0", b"m", b"2.50"]]
    with raises(redis.ResponseError, match="Expected '\\('"):
        r2.execute_command("FT.CREATE", "shapes", "SCHEMA", "g", "GEOSHAPE")
        r2.execute_command("FT.SEARCH", "shapes", "@g:[within $p]", "PARAMS", 2, "p", "POLYGON", "DIALECT", 3)
