"""What _FT.DEBUG, FT.CONFIG and INFO tell of the inside of the search module."""
import redis
from pytest import mark, raises

from helpers import RawConnection, pack, running_server, wait_until
from samples import text


def debug(client, *words):
    reply = client.execute_command("_FT.DEBUG", *words)
    return ([text(one) if isinstance(one, bytes) else one for one in reply] if isinstance(reply, list) else text(reply)
            if isinstance(reply, bytes) else reply)


def test_dumps(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "WITHSUFFIXTRIE", "g", "TAG", "WITHSUFFIXTRIE", "n",
                         "NUMERIC", "s", "GEOSHAPE")
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
    assert debug(both, "DOCIDTOID", "idx", "b") == 2 and debug(both, "DOCIDTOID", "idx", "c") == 0
    assert debug(both, "IDTODOCID", "idx", 2) == "b"
    assert debug(both, "DUMP_PHONETIC_HASH", "test") == ["<TST", "<TST"]
    assert debug(both, "SET_MONITOR_EXPIRATION", "idx", "documents", "fields") == "OK"
    both.delete("a")
    assert debug(both, "GC_FORCEINVOKE", "idx") == "DONE" and debug(both, "DUMP_TERMS", "idx") == ["old"]
    for words in (("DUMP_INVIDX", "idx", "apples"), ("DUMP_NUMIDX", "idx", "g"), ("DUMP_TAGIDX", "idx", "n"),
                  ("IDTODOCID", "idx", 1), ("DUMP_TERMS",), ("DUMP_SUFFIX_TRIE", "idx", "what"), ("TTL", "idx"),
                  ("TTL", "nope"), ("SET_MONITOR_EXPIRATION", "nope"),
                  ("SET_MONITOR_EXPIRATION", "idx", "no"), ("GC_CONTINUE_SCHEDULE", "idx"), ("WHAT",)):
        with raises(redis.ResponseError):
            debug(both, *words)


def test_paused_workers_hold_queries(r2, server):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    r2.hset("a", "t", "x")
    profile = ("FT.PROFILE", "idx", "SEARCH", "QUERY", "x", "NOCONTENT")
    with (RawConnection(server.host, server.port) as one, RawConnection(server.host, server.port) as other,
          RawConnection(server.host, server.port) as gone):
        workers = r2.config_get("search-workers")["search-workers"]
        r2.config_set("search-workers", 2)
        assert debug(r2, "WORKERS", "PAUSE") == "OK"
        try:
            one.send(pack("FT.SEARCH", "idx", "x", "NOCONTENT") + pack("GET", "none"))
            other.send(pack("HELLO", 3) + pack(*profile))
            gone.send(pack("FT.AGGREGATE", "idx", "x"))
            other.read()
            wait_until(lambda: pending(r2) == 3)
            assert r2.execute_command("_FT.DEBUG", "WORKERS", "stats")[9] == 2      # threads
            gone.close()
            wait_until(lambda: pending(r2) == 2)
            assert r2.info("modules")["search_active_worker_threads"] == 0
            r2.config_set("search-workers", 0)              # whoever comes now needs none
            assert r2.execute_command("FT.SEARCH", "idx", "x", "NOCONTENT") == [1, b"a"]
        finally:
            assert debug(r2, "WORKERS", "RESUME") == "OK"
            r2.config_set("search-workers", workers)
        assert one.read() == [1, b"a"] and one.read() is None and pending(r2) == 0
        shard = other.read()["Profile"]["Shards"][0]
        assert 0 < shard["Workers queue time"] < shard["Total profile time"]
        assert other.call(*profile)["Profile"]["Shards"][0]["Workers queue time"] == 0


def test_without_workers_vectors_are_linked_when_one_looks(r2):
    workers = r2.config_get("search-workers")["search-workers"]
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "v", "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", 2,
                       "DISTANCE_METRIC", "L2")
    r2.config_set("search-workers", 0)
    try:
        for i in range(100):
            r2.hset(f"{i}", "v", bytes([i] * 8))
        info = r2.execute_command("_FT.DEBUG", "VECSIM_INFO", "idx", "v")
        front = info[info.index(b"FRONTEND_INDEX") + 1]
        assert front[front.index(b"INDEX_SIZE") + 1] == 0
    finally:
        r2.config_set("search-workers", workers)


def pending(client):
    return client.execute_command("_FT.DEBUG", "WORKERS", "stats")[5]


def test_the_age_of_a_temporary_index(r2):
    r2.execute_command("FT.CREATE", "idx", "TEMPORARY", 3600, "SCHEMA", "t", "TEXT")
    assert 3590 < debug(r2, "TTL", "idx") <= 3600 and debug(r2, "TTL_PAUSE", "idx") == "OK"
    with raises(redis.ResponseError):
        debug(r2, "TTL_PAUSE", "idx")
    assert (debug(r2, "GC_STOP_SCHEDULE", "idx") == debug(r2, "GC_CONTINUE_SCHEDULE", "idx")
            == debug(r2, "TTL_EXPIRE", "idx") == "OK")


@mark.parametrize("words, refusal", [
    (("_MIN_TRIM_DELAY_MS", 5000), "less than _MAX_TRIM_DELAY_MS .5000"), (("WORKERS", 99), "cannot exceed 16"),
    (("_BG_INDEX_MEM_PCT_THR", 101), "100%"),
    (("ON_OOM", "never"), "Invalid ON_OOM value"), (("EXTLOAD", 1), "Not modifiable"),
    (("MAX_AGGREGATE_GROUPS", 0), "acceptable bounds")])
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
    assert [after[name] - before[name] for name in ("search_coord_total_query_errors_syntax",
                                                    "search_coord_total_query_errors_arguments",
                                                    "search_coord_total_query_warnings_max_prefix_expansions")] == [2, 2, 2]


def test_errors_without_codes(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "v", "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", 2,
                       "DISTANCE_METRIC", "L2")
    r2.hset("a", mapping={"t": "x", "v": b"12345678"})
    r2.config_set("search-error-codes", "no")
    knn = ("PARAMS", 2, "b", b"12345678", "DIALECT", 2)
    resolving = "Error parsing vector similarity parameters: "
    try:
        for words, told in ((("FT.SEARCH", "idx", "*=>[KNN 2 @v $b EF_RUNTIME -1]", *knn), resolving + "Invalid value was given"),
                            (("FT.SEARCH", "idx", "@t:x=>[KNN 2 @v $b HYBRID_POLICY ADHOC_BF BATCH_SIZE 9]", *knn),
                             resolving + "'batch size' is irrelevant for 'ADHOC_BF' policy"),
                            (("FT.CREATE", "x", "SCHEMA", "v", "VECTOR", "HNSW", 6), "Expected 6 parameters but got 0"),
                            (("FT.PROFILE", "nope", "SEARCH", "QUERY", "*"), "nope: no such index"),
                            (("FT.SEARCH", "idx", "*=>[KNN 2 @v $b]=>{$shard_k_ratio: 0.5}", *knn),
                             "Shard k ratio is unavailable .*"),
                            (("FT.PROFILE", "idx", "SEEK", "QUERY", "*"), "No `SEARCH` or `AGGREGATE` provided")):
            with raises(redis.ResponseError, match=f"^{told}$"):
                r2.execute_command(*words)
        for words, told in ((("FT.SEARCH", "nope", "a"), "No such index nope"), (("FT.INFO", "nope"), "nope: no such index"),
                            (("FT.CONFIG", "SET", "EXTLOAD", 1), "Not modifiable at runtime")):
            with raises(redis.ResponseError, match=f"^{told}$"):
                r2.execute_command(*words)
        with raises(redis.ResponseError, match="WITHCOUNT is not available when `ENABLE_UNSTABLE_FEATURES` is off"):
            r2.execute_command("FT.AGGREGATE", "idx", "*", "WITHCOUNT")
    finally:
        r2.config_set("search-error-codes", "yes")
    assert r2.execute_command("FT.AGGREGATE", "idx", "*", "WITHCOUNT")[0] == 1
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


@mark.parametrize("shape, reason", [
    ("POLIKON((1 1, 1 100, 100 100, 1 1))", "Should start with 'POLYGON'"), ("POLYGON(1 1, 1 100))", "Expected '(' at '1'"),
    ("POLYGON(()())", "too few points"), ("POLYGON((1 1, 1 100, 1 1))", "too few points"),
    ("POLYGON((1 1, 1 200, 1 100, 100 1, 1 1))", "has spikes"),
    ("POLYGON((1 1, 1 100, 50 50, 50 -50, 1 150, 100 50, 1 1))", "invalid self-intersections"),
    ("POLYGON((1 1, 1 100, 100 100, 100 1, 1 1) (25 150, 75 150, 75 250, 25 250, 25 150))", "outside the outer boundary"),
    ("POLYGON((1 1, 1 9, 9 9, 9 1, 1 1) (2 2, 7 2, 7 7, 2 7, 2 2) (4 4, 5 4, 5 5, 4 5, 4 4))", "nested interior rings"),
    ("POLYGON((1 1, 1 100, 100 100, bart, 1 1))", "bad lexical cast"), ("LINE(1 1)", "unknown geometry type"),
    ("POINT(1 1) x", "Too many")])
def test_shapes_that_cannot_be(shape, reason):
    from commands.ft.fields.geoshape import shape_of
    with raises(ValueError) as refusal:
        shape_of(shape.encode())
    assert reason in str(refusal.value)


def test_shapes_are_read_generously():
    from commands.ft.fields.geoshape import shape_of
    assert shape_of(b"POLYGON((1 1, 1 , 100 100, 100 1, 1 1))").area == 99 * 99 / 2
    assert shape_of(b"polygon((1 1, 1 100 7 7, 100 100, 100 1))").area == 99 * 99


def test_memory_by_parts(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "g", "TAG", "s", "GEOSHAPE", "FLAT", "p", "GEO", "n", "NUMERIC")
    parts = ("key_table_size_mb", "tag_overhead_sz_mb", "text_overhead_sz_mb", "geoshapes_sz_mb", "inverted_sz_mb")
    sizes = lambda: [float(r2.ft("idx").info()[part]) for part in parts]
    empty = sizes()
    assert empty[1:] == [0] * 4
    r2.hset("a", mapping={"t": "foo", "g": "x", "s": "POINT(1 1)", "p": "1,1", "n": 1})
    assert all(size > before for size, before in zip(sizes(), empty))
    r2.hset("a", "t", "bar")
    assert r2.ft("idx").info()["num_terms"] == 2
    r2.execute_command("_FT.DEBUG", "GC_FORCEINVOKE", "idx")
    assert r2.ft("idx").info()["num_terms"] == 1
    r2.delete("a")
    r2.execute_command("_FT.DEBUG", "GC_FORCEINVOKE", "idx")
    assert sizes()[3:] == [0, 0] and r2.info("modules")["search_gc_bytes_collected"] > 0


def test_points_that_cannot_be(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "g", "GEO")
    for value, reason in (("here", "missing separator"), ("1000,1000", "Invalid geo coordinates: 1000.000000, 1000.000000"),
                          ("nan,1", "Invalid geo coordinates: nan, 1.000000")):
        r2.hset("a", "g", value)
        assert reason in r2.ft("idx").info()["Index Errors"][3].decode()


def test_queries_are_counted(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "n", "NUMERIC")
    r2.hset("a", "n", 1)
    r2.hset("b", "n", 2)
    names = "search_total_queries_processed", "search_total_query_commands", "search_total_query_execution_time_ms"
    before = [r2.info("modules")[name] for name in names]
    r2.execute_command("FT.SEARCH", "idx", "*")
    _, cursor = r2.execute_command("FT.AGGREGATE", "idx", "*", "WITHCURSOR", "COUNT", 1)
    r2.execute_command("FT.CURSOR", "READ", "idx", cursor)
    for wrong in (("FT.SEARCH", "idx", "(*"), ("FT.CURSOR", "READ", "idx", 123)):
        with raises(redis.ResponseError):
            r2.execute_command(*wrong)
    after = [r2.info("modules")[name] for name in names]
    assert after[0] - before[0] == 2 and after[1] - before[1] == 3 and after[2] > before[2]


def test_pages_end_with_the_most_results(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT")
    for i in range(6):
        r2.hset(f"d{i}", "t", "x")
    try:
        r2.config_set("search-max-search-results", 5)
        assert r2.execute_command("FT.SEARCH", "idx", "*", "NOCONTENT", "LIMIT", 3, 5) == [6, b"d3", b"d4"]
        with raises(redis.ResponseError, match="OFFSET exceeds maximum of 5"):
            r2.execute_command("FT.AGGREGATE", "idx", "*", "LIMIT", 6, 1)
    finally:
        r2.config_set("search-max-search-results", 1000000)
    with raises(redis.ResponseError, match="PREFIX query string is too long"):
        r2.execute_command("FT.SEARCH", "idx", "a" * 1025 + "*")


def test_what_is_looked_up_has_limits(r3):
    r3.execute_command("FT.CREATE", "idx", "SCHEMA", "g", "TAG", "t", "TEXT", "WITHSUFFIXTRIE", "u", "TEXT")
    for i in range(9):
        r3.hset(f"d{i}", mapping={"g": f"tag{i}", "u": "hello"})
    r3.execute_command("FT.CONFIG", "SET", "MAXPREFIXEXPANSIONS", "5")
    for query, n, n_warnings in (("@g:{tag*}", 5, 1), ("@g:{w'*g?'}", 5, 1), ("@g:{tag1}", 1, 0)):
        reply = r3.execute_command("FT.SEARCH", "idx", query, "NOCONTENT", "DIALECT", 2)
        assert (reply[b"total_results"], len(reply[b"warning"])) == (n, n_warnings)
    r3.execute_command("FT.CONFIG", "SET", "MAXPREFIXEXPANSIONS", "200")
    with raises(redis.ResponseError, match="WITHSUFFIXTRIE"):
        r3.execute_command("FT.SEARCH", "idx", "@u:w'h*o'", "DIALECT", 2)
    r3.execute_command("FT.SUGADD", "names", "a" * 101, 1)
    assert r3.execute_command("FT.SUGGET", "names", "a" * 100) == [b"a" * 101]
    with raises(redis.ResponseError, match="Invalid query"):
        r3.execute_command("FT.SUGGET", "names", "a" * 101)
    with raises(redis.ResponseError, match="Invalid query length"):
        r3.execute_command("FT.SUGGET", "names", "a" * 201)


def test_searches_that_stop_where_they_are_told_to(r3):
    r3.execute_command("FT.CREATE", "stopping", "PREFIX", 1, "stop:", "SCHEMA", "n", "NUMERIC", "SORTABLE")
    for i in range(9):
        r3.hset(f"stop:{i}", "n", 9 - i)

    def ask(command, *words, n=4, more=()):
        return r3.execute_command("_FT.DEBUG", command, "stopping", "*", *words, "TIMEOUT_AFTER_N", n, *more,
                                  "DEBUG_PARAMS_COUNT", 2 + len(more))

    warning = [b"Timeout limit was reached"]
    for command, words in (("FT.SEARCH", ()), ("FT.AGGREGATE", ("LOAD", 1, "@n"))):
        reply = ask(command, *words, more=("INTERNAL_ONLY",))
        assert len(reply[b"results"]) == 4 and reply[b"warning"] == warning
        assert ask(command, n=0)[b"results"] == [] and ask(command, n=10)[b"warning"] == []
        for wrong, refusal in (({"n": "x"}, "Invalid TIMEOUT_AFTER_N count"),
                               ({"more": ("MEOW",)}, "Unrecognized argument: MEOW")):
            with raises(redis.ResponseError, match=refusal):
                ask(command, **wrong)
        with raises(redis.ResponseError, match="INTERNAL_ONLY is not supported"):
            r3.execute_command("_FT.DEBUG", command, "stopping", "*", "LIMIT", 0, 1, "INTERNAL_ONLY", "DEBUG_PARAMS_COUNT", 1)
        with raises(redis.ResponseError, match="arg is missing"):
            r3.execute_command("_FT.DEBUG", command, "stopping", "*", "LIMIT", 0, 1, "TIMEOUT", 5)
        with raises(redis.ResponseError, match="wrong number of arguments"):
            r3.execute_command("_FT.DEBUG", command, "stopping", "*")
    found = ask("FT.SEARCH", "SORTBY", "n", "LIMIT", 0, 2)
    assert [row[b"id"] for row in found[b"results"]] == [b"stop:3", b"stop:2"] and found[b"warning"] == warning
    assert ask("FT.AGGREGATE", "GROUPBY", 0, "REDUCE", "COUNT", 0, "AS", "c")[b"results"][0][b"extra_attributes"] == {b"c": b"4"}
    r3.config_set("search-on-timeout", "fail")
    for command in ("FT.SEARCH", "FT.AGGREGATE"):
        with raises(redis.ResponseError, match="Timeout limit was reached"):
            ask(command)
    r3.config_set("search-on-timeout", "return")


def _warnings(client, *words):
    found = client.execute_command(*words)
    found = found[0] if isinstance(found, list) else found
    return text((found.get(b"warning") or found.get(b"warnings") or [b""])[0])


QUERIES = [("FT.SEARCH", "idx", "*"), ("FT.AGGREGATE", "idx", "*"), ("FT.AGGREGATE", "idx", "*", "WITHCURSOR"),
           ("FT.HYBRID", "idx", "SEARCH", "*", "VSIM", "@v", "$b", "PARAMS", "2", "b", bytes(8))]


@mark.parametrize("policy", ["return", "fail", "ignore"])
def test_queries_while_memory_is_short(r3, r2, policy):
    r3.execute_command("FT.CREATE", "idx", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2,
                       "DISTANCE_METRIC", "L2")
    r3.hset("a", "v", bytes(8))
    try:
        r3.config_set("search-on-oom", policy)
        r3.config_set("maxmemory", 1)
        for words in QUERIES:
            if policy == "fail":
                with raises(redis.ResponseError, match="Not enough memory available to execute the query"):
                    r3.execute_command(*words)
            else:
                assert ("insufficient memory" in _warnings(r3, *words)) == (policy == "return")
        if policy == "return":
            assert (r2.execute_command("FT.SEARCH", "what", "ever")
                    == r2.execute_command("FT.AGGREGATE", "idx", "*", "WITHCURSOR")[0] == [0])
            assert ("insufficient"
                    in text(r3.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", "*")[b"Results"][b"warning"][0]))
            with raises(redis.ResponseError, match="FORMAT what is not supported"):
                r2.execute_command("FT.SEARCH", "idx", "*", "FORMAT", "what")
    finally:
        r3.config_set("maxmemory", 0)
        r3.config_set("search-on-oom", "return")


def test_time_limits_are_capped_where_there_are_no_workers(r3):
    r3.execute_command("FT.CREATE", "idx", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2,
                       "DISTANCE_METRIC", "L2")
    workers = r3.config_get("search-workers")["search-workers"]
    try:
        r3.config_set("search-_max-foreground-timeout-limit", 1000)
        for n, limit, is_capped in ((0, 5000, True), (0, 0, True), (0, 500, False), (workers, 5000, False)):
            r3.config_set("search-workers", n)
            for words in QUERIES:
                assert ("effective timeout was capped" in _warnings(r3, *words, "TIMEOUT", limit)) == is_capped
    finally:
        r3.config_set("search-workers", workers)
        r3.config_set("search-_max-foreground-timeout-limit", 60000)


def test_what_redis_flex_does_not_have():
    with running_server("--search-_simulate-in-flex", "yes") as server, RawConnection(server.host, server.port) as one:
        _check_flex(one)


def _check_flex(one):
    vector = "v", "VECTOR", "HNSW", "8", "TYPE", "FLOAT32", "DIM", "2", "DISTANCE_METRIC", "L2", "RERANK", "TRUE"
    assert one.call("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "g", "TAG", *vector) == "OK"
    assert one.call("HSET", "a", "t", "x", "g", "x", "v", bytes(8)) == 3
    assert one.call("FT.SEARCH", "idx", "x", "NOCONTENT") == [1, b"a"]
    assert one.call("CONFIG", "SET", "search-workers", "0") == "OK" and one.call("CONFIG", "GET", "search-workers")[1] == b"1"
    knn = "PARAMS", "2", "b", bytes(8), "DIALECT", "2"
    assert one.call("FT.SEARCH", "idx", "x=>[KNN 1 @v $b HYBRID_POLICY BATCHES]", "NOCONTENT", "SORTBY", "__v_score",
                    *knn) == [1, b"a"]
    for words, refusal in (
            (("FT.HYBRID", "idx", "SEARCH", "x"), "FT.HYBRID is not supported"),
            (("FT.SUGLEN", "x"), "FT.SUGLEN is not supported"),
            (("FT.SAFEADD", "idx", "b", "1", "FIELDS", "t", "x"), "FT.SAFEADD is not supported"),
            (("FT.PROFILE", "idx", "HYBRID", "QUERY", "x"), "FT.HYBRID is not supported"),
            (("FT.DROPINDEX", "idx", "DD"), "DD is not supported"),
            (("FT.SEARCH", "idx", "x", "SLOP", "1"), "SLOP is not supported"),
            (("FT.SEARCH", "idx", "x", "DIALECT", "4"), "DIALECT 4 is not"),
            (("FT.SEARCH", "idx", "x", "SORTBY", "t"), "SORTBY in Redis Flex"), (("FT.SEARCH", "idx", "@g:{x*}"), "TAG prefix"),
            (("FT.SEARCH", "idx", "x=>[KNN 1 @v $b]", *knn), "require explicit HYBRID_POLICY"),
            (("FT.AGGREGATE", "idx", "*", "WITHCURSOR"), "WITHCURSOR"),
            (("FT.SEARCH", "idx", "x", "WITHOUTCOUNT"), "WITHOUTCOUNT is not"),
            (("FT.CREATE", "b", "NOHL", "SCHEMA", "t", "TEXT"), "`NOHL`"),
            (("FT.CREATE", "b", "SCHEMA", "t", "GEO"), "GEO fields are not"),
            (("FT.CREATE", "b", "SCHEMA", "t", "TEXT", "SORTABLE"), "SORTABLE fields"),
            (("FT.CREATE", "b", "SCHEMA", *vector[:-2]), "argument"),
            (("FT.CREATE", "b", "SCHEMA", "v", "VECTOR", "HNSW", "6", *vector[4:-2]), "requires RERANK"),
            (("FT.CREATE", "b", "SCHEMA", "t", "TAG", "WITHSUFFIXTRIE"), "WITHSUFFIXTRIE is not")):
        assert refusal in one.error(*words), words
    for i in range(9):
        assert one.call("FT.CREATE", f"i{i}", "SCHEMA", "t", "TEXT") == "OK"
    assert "Flex indexes: 10" in one.error("FT.CREATE", "i9", "SCHEMA", "t", "TEXT")
