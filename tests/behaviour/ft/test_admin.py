"""FT.CREATE, ALTER, DROPINDEX, aliases, TAGVALS, CONFIG, INFO, PROFILE, _FT.DEBUG."""
import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from helpers import wait_until  # noqa: E402
from samples import create, fill, info, knn, search, tag_of, text, vectors  # noqa: E402


def names(reply):
    return sorted(text(name) for name in reply)


def test_list_drop_and_aliases(both):
    base = vectors(10, 8)
    create(both)
    fill(both, base)
    with pytest.raises(redis.ResponseError, match="SEARCH_INDEX_EXISTS Index already exists"):
        create(both)
    both.execute_command("FT.ALIASADD", "al", "idx")
    assert knn(both, base[3], 1, index="al")[0][0] == "d:3"
    with pytest.raises(redis.ResponseError, match="Alias already exists"):
        both.execute_command("FT.ALIASADD", "al", "idx")
    both.execute_command("FT.CREATE", "i2", "PREFIX", 1, "e:", "SCHEMA", "num", "NUMERIC")
    with pytest.raises(redis.ResponseError, match="Alias conflicts"):
        both.execute_command("FT.ALIASADD", "i2", "idx")
    both.execute_command("FT.ALIASUPDATE", "al", "i2")
    assert names(both.execute_command("FT.ALIASLIST", "i2")) == ["al"]
    assert names(both.execute_command("FT._LIST")) == ["i2", "idx"]
    assert search(both, "*", index="al")[0] == 0
    both.execute_command("FT.ALIASDEL", "al")
    with pytest.raises(redis.ResponseError, match="SEARCH_INDEX_NOT_FOUND Index not found: al"):
        search(both, "*", index="al")
    both.execute_command("FT.DROPINDEX", "i2")
    assert both.dbsize() == 10
    both.execute_command("FT.DROPINDEX", "idx", "DD")
    assert both.dbsize() == 0
    with pytest.raises(redis.ResponseError, match="Index not found: idx"):
        info(both)


def test_text_fields_are_added_up_to_32_or_without_end(both):
    for option, is_refused in ((), True), (("MAXTEXTFIELDS",), False):
        both.execute_command("FT.CREATE", "idx", *option, "SCHEMA", *[word for i in range(32) for word in (f"t{i}", "TEXT")])
        more = "FT.ALTER", "idx", "SCHEMA", "ADD", "more", "TEXT"
        if is_refused:
            with pytest.raises(redis.ResponseError, match="Cannot add more fields"):
                both.execute_command(*more)
        else:
            both.execute_command(*more)
        both.execute_command("FT.DROPINDEX", "idx")


def test_alter_fills_the_new_fields(both):
    base = vectors(1500, 8)
    both.execute_command("FT.CREATE", "idx", "PREFIX", 1, "d:", "SCHEMA", "num", "NUMERIC")
    fill(both, base)
    both.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 8,
                         "DISTANCE_METRIC", "L2", "tag", "TAG")
    wait_until(lambda: info(both)["indexing"] == 0)
    assert knn(both, base[777], 1) == [("d:777", 0)]
    assert search(both, "@tag:{rare}")[0] == sum(tag_of(i) == "rare" for i in range(1500))
    with pytest.raises(redis.ResponseError, match="Duplicate field in schema - tag"):
        both.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "tag", "TAG")
    assert len(info(both)["attributes"]) == 3


def test_tagvals(both):
    create(both)
    fill(both, vectors(10, 8))
    assert names(both.execute_command("FT.TAGVALS", "idx", "tag")) == ["blue", "green", "rare", "red"]
    for field, error in (("num", "Not a tag field"), ("nope", "No such field")):
        with pytest.raises(redis.ResponseError, match=error):
            both.execute_command("FT.TAGVALS", "idx", field)


def test_info_of_a_vector_field(both):
    create(both, algorithm="SVS-VAMANA", options=["COMPRESSION", "LVQ8", "GRAPH_MAX_DEGREE", 40, "SEARCH_WINDOW_SIZE", 20])
    fill(both, vectors(20, 8))
    field = info(both)["attributes"][2]
    field = field if isinstance(field, dict) else dict(zip(field[::2], field[1::2]))
    assert ([field[name] for name in ("identifier", "type", "algorithm", "data_type", "dim", "distance_metric",
                                      "graph_max_degree", "compression", "training_threshold", "search_window_size", "trained")]
            == ["v", "VECTOR", "SVS-VAMANA", "FLOAT32", 8, "COSINE", 40, "LVQ8", 10240, 20, 0])
    assert field["effective_compression"]
    told = info(both)
    assert told["num_docs"] == 20 and float(told["vector_index_sz_mb"]) > 0
    statistics = told["field statistics"][2]
    assert statistics["memory"] > 0 and statistics["flat_buffer_size"] >= 0


def test_info_shapes(raw, raw3):
    raw.call("FT.CREATE", "idx", "ON", "HASH", "SCHEMA", "g", "TAG", "SORTABLE", "n", "NUMERIC")
    flat = raw.call("FT.INFO", "idx")
    assert flat[:4] == ["index_name", "idx", "index_options", []]
    at = flat.index("attributes")
    assert flat[at + 1][0] == ["identifier", "g", "attribute", "g", "type", "TAG", "SEPARATOR", ",", "SORTABLE"]
    mapped = raw3.call("FT.INFO", "idx")
    assert list(mapped) == flat[::2]
    assert mapped["attributes"][0] == {"identifier": "g", "attribute": "g", "type": "TAG", "SEPARATOR": ",",
                                       "flags": ["SORTABLE"]}
    assert mapped["percent_indexed"] == 1.0 and isinstance(mapped["percent_indexed"], float) and mapped["num_docs"] == 0
    assert mapped["Index Errors"]["last indexing error"] == "N/A" and mapped["Index Errors"]["last indexing error key"] == b"N/A"


def test_search_shapes(raw, raw3):
    raw.call("FT.CREATE", "idx", "PAYLOAD_FIELD", "p", "SCHEMA", "n", "NUMERIC", "SORTABLE")
    raw.call("HSET", "a", "n", "1.50", "x", "y", "p", "pay")
    raw.call("HSET", "b", "n", 2)
    assert raw.call("FT.SEARCH", "idx", "*") == [2, b"a", [b"n", b"1.50", b"x", b"y"], b"b", [b"n", b"2"]]
    assert raw.call("FT.SEARCH", "idx", "*", "WITHSCORES", "WITHPAYLOADS", "WITHSORTKEYS", "SORTBY", "n", "DESC",
                    "NOCONTENT") == \
        [2, b"b", b"0", None, b"#2", b"a", b"0", b"pay", b"#1.5"]
    assert raw.call("FT.SEARCH", "idx", "*", "WITHSORTKEYS", "SORTBY", "n", "LIMIT", 0, 1)[2] == b"$1.50"
    assert raw.call("FT.SEARCH", "idx", "*", "WITHSORTKEYS", "SORTBY", "n", "LIMIT", 0, 1, "RETURN", 1, "n")[2] == b"#1.5"
    assert raw.call("FT.SEARCH", "idx", "*", "RETURN", 4, "n", "AS", "m", "none", "LIMIT", 0, 1) == [2, b"a", [b"m", b"1.5"]]
    assert raw.call("FT.SEARCH", "idx", "*", "LIMIT", 0, 0) == [2]
    assert raw.call("FT.SEARCH", "idx", "*", "RETURN", 0) == [2, b"a", b"b"]
    assert raw3.call("FT.SEARCH", "idx", "*", "SORTBY", "n", "RETURN", 1, "n", "LIMIT", 0, 1, "WITHSCORES") == {
        "attributes": [], "format": "STRING",
        "results": [{"id": b"a", "score": 0.0, "extra_attributes": {b"n": b"1.5"}, "values": []}],
        "total_results": 2, "warning": []}
    assert raw.call("FT.SEARCH", "idx", "*", "INKEYS", 2, "b", "c", "NOCONTENT") == [1, b"b"]
    assert raw.call("FT.SEARCH", "idx", "*", "FILTER", "n", "(1.5", "+inf", "NOCONTENT") == [1, b"b"]
    assert raw.call("FT.SEARCH", "idx", "*", "SORTBY", "zz") == "SEARCH_PROP_NOT_FOUND Property `zz` not loaded nor in schema"


def test_sorting(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "n", "NUMERIC", "SORTABLE", "g", "TAG", "SORTABLE", "plain", "TAG")
    for key, n, g in (("a", 3, "Zed"), ("b", 1, "abc"), ("c", 3, "mid"), ("d", 2, None)):
        both.hset(key, mapping={"n": n, **({"g": g, "plain": g} if g else {})})
    both.hset("e", "g", "no number")

    def order(*words):
        return [key for key, _ in search(both, "*", "NOCONTENT", "SORTBY", *words)[1]]

    assert order("n") == ["b", "d", "a", "c", "e"] and order("n", "DESC") == ["c", "a", "d", "b", "e"]
    assert order("g") == ["b", "c", "e", "a", "d"] and order("g", "DESC") == ["a", "e", "c", "b", "d"]
    assert order("plain")[:3] == ["b", "c", "a"]
    many = [f"k{i:04}" for i in range(2000)]
    pipe = both.pipeline(transaction=False)
    for i, key in enumerate(many):
        pipe.hset(key, "n", 1000 + i % 50)
    pipe.execute()
    assert ([key for key, _ in search(both, "@n:[1000 2000]", "NOCONTENT", "SORTBY", "n", "LIMIT", 38, 5)[1]]
            == ["k1900", "k1950", "k0001", "k0051", "k0101"])
    assert [key for key, _ in search(both, "@n:[1000 2000]", "NOCONTENT", "LIMIT", 1998, 5)[1]] == ["k1998", "k1999"]


def test_missing_and_empty(both):
    both.execute_command("FT.CREATE", "idx", "SCHEMA", "g", "TAG", "INDEXEMPTY", "INDEXMISSING", "n", "NUMERIC", "INDEXMISSING")
    both.hset("a", mapping={"g": "", "n": 1})
    both.hset("b", mapping={"g": "x"})
    both.hset("c", mapping={"n": 2})

    def found(query):
        return [key for key, _ in search(both, query, "NOCONTENT")[1]]

    assert found("ismissing(@g)") == ["c"] and found("ismissing(@n)") == ["b"] and found('@g:{""}') == ["a"]
    both.hset("c", "g", "y")
    assert found("ismissing(@g)") == []


def test_config(both):
    assert both.execute_command("FT.CONFIG", "SET", "TIMEOUT", 750) in (b"OK", "OK")
    assert text(both.config_get("search-timeout")["search-timeout"]) == "750"
    both.config_set("search-timeout", 500)
    reply = both.execute_command("FT.CONFIG", "GET", "timeout")
    pairs = reply if isinstance(reply, dict) else dict(reply)
    assert {text(key): text(value) for key, value in pairs.items()} == {"TIMEOUT": "500"}
    both.config_set("search-timeout", 60_000)
    with pytest.raises(redis.ResponseError, match="Not modifiable at runtime"):
        both.execute_command("FT.CONFIG", "SET", "EXTLOAD", "x")
    with pytest.raises(redis.ResponseError, match="No such configuration option `NOPE`"):
        both.execute_command("FT.CONFIG", "SET", "NOPE", "x")


def test_default_dialect_counts_at_once(r3):
    create(r3)
    fill(r3, vectors(3, 8))
    words = "FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "PARAMS", 2, "b", vectors(1, 8)[0].tobytes(), "NOCONTENT"
    with pytest.raises(redis.ResponseError, match="SEARCH_SYNTAX"):
        r3.execute_command(*words)
    r3.config_set("search-default-dialect", 2)
    try:
        r3.execute_command(*words)
    finally:
        r3.config_set("search-default-dialect", 1)
    with pytest.raises(redis.ResponseError, match="SEARCH_SYNTAX"):
        r3.execute_command(*words)


def test_explain_and_profile(both):
    base = vectors(30, 8)
    create(both)
    fill(both, base)
    words = "@num:[0 9]=>[KNN 3 @v $b]", "PARAMS", 2, "b", base[0].tobytes(), "DIALECT", 2
    assert "K=3 nearest vectors to `$b`" in text(both.execute_command("FT.EXPLAIN", "idx", *words))
    reply = both.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", *words, "NOCONTENT")
    assert "HYBRID" in str(reply) and "Iterators profile" in str(reply)
    with pytest.raises(redis.ResponseError, match="The QUERY keyword is expected"):
        both.execute_command("FT.PROFILE", "idx", "SEARCH", "x", "y")


def test_profile_without_times(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "m", "TEXT", "INDEXMISSING")
    for i, word in enumerate((b"foot", b"foam", b"bar", b"fool")):
        r2.hset(f"d{i}", "t", word)
    r2.execute_command("FT.CONFIG", "SET", "_PRINT_PROFILE_CLOCK", "false")

    def profile(*words):
        return text(str(r2.execute_command("FT.PROFILE", "idx", *words)[1][1][0])).replace("b'", "'")

    assert profile("SEARCH", "QUERY", "bar", "NOCONTENT") == str(
        ["Warning", ["None"], "Iterators profile",
         ["Type", "TEXT", "Term", "bar", "Number of reading operations", 1, "Estimated number of matches", 1],
         "Result processors profile", [["Type", "Index", "Results processed", 1], ["Type", "Scorer", "Results processed", 1],
                                       ["Type", "Sorter", "Results processed", 1]]])
    assert "'Child iterators', 'The number of iterators in the union is 3'" in profile("SEARCH", "LIMITED", "QUERY", "fo*")
    assert "['Type', 'Counter', 'Results processed', 1]" in profile("SEARCH", "QUERY", "*", "LIMIT", 0, 0)
    assert ("['Type', 'MISSING', 'Field', 'm', 'Number of reading operations', 4"
            in profile("SEARCH", "QUERY", "ismissing(@m)", "DIALECT", 2))
    assert ("'Type', 'NOT', 'Number of reading operations', 3, 'Child iterator',"
            in profile("SEARCH", "QUERY", "fo* -bar", "DIALECT", 2))
    assert "NOT" not in profile("SEARCH", "QUERY", "bar -nothing", "DIALECT", 2)
    assert "'Iterators profile', ['Type', 'TEXT', 'Term', 'bar'" in profile("SEARCH", "QUERY", "ba*")
    assert "WILDCARD" not in profile("SEARCH", "QUERY", "*", "INKEYS", 1, "d0")
    filtered = profile("AGGREGATE", "QUERY", "*", "LOAD", 1, "@t", "FILTER", "@t == 'bar'")
    assert "'Filter - Predicate ==', 'Results processed', 1" in filtered
    assert "'Projector - Function upper'" in profile("AGGREGATE", "QUERY", "*", "LOAD", 1, "@t", "APPLY", "upper(@t)", "AS", "u")
    r2.execute_command("FT.CONFIG", "SET", "_PRINT_PROFILE_CLOCK", "true")


def test_profile_of_intersections_and_circles(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "t", "TEXT", "n", "NUMERIC", "g", "GEO")
    for i, (word, place) in enumerate((("one", "1.22,4.56"), ("two", "1.24,4.56"), ("three", "1.23,4.55"),
                                       ("four", "1.23,4.57"))):
        r2.hset(f"d{i}", mapping={"t": word, "n": i, "g": place})

    def iterators(query):
        return text(str(r2.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", query,
                                           "DIALECT", 2)[1][1][0])).replace("b'", "'")

    assert "'Type', 'GEO', 'Term', '1.23,4.55 - 1.24,4.56', 'Time'" in iterators("@g:[1.23 4.56 10 km]")
    assert "'Type', 'EMPTY'" in iterators("@g:[50 50 1 km]") and "INTERSECT" not in iterators("one nothing")
    shown = text(str(r2.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", "one", "INKEYS", 1, "d0")[1][1][0]))
    assert shown.index("ID-LIST") < shown.index("TEXT")
    found = iterators("@n:[0 2] (one | two)")
    assert found.index("UNION") < found.index("NUMERIC")
    r2.execute_command("FT.CONFIG", "SET", "_PRIORITIZE_INTERSECT_UNION_CHILDREN", "true")
    found = iterators("@n:[0 2] (one | two)")
    assert found.index("NUMERIC") < found.index("UNION")
    r2.execute_command("FT.CONFIG", "SET", "_PRIORITIZE_INTERSECT_UNION_CHILDREN", "false")
    r2.execute_command("FT.CONFIG", "SET", "MAXSEARCHRESULTS", 2)
    assert r2.execute_command("FT.PROFILE", "idx", "SEARCH", "QUERY", "*", "NOCONTENT")[0][1:] == [b"d0", b"d1"]
    r2.execute_command("FT.CONFIG", "SET", "MAXSEARCHRESULTS", 1000000)


def test_vectors_wait_while_the_workers_pause(r2):
    assert text(r2.execute_command("_FT.DEBUG", "WORKERS", "PAUSE")) == "OK"
    create(r2, algorithm="HNSW")
    base = vectors(40, 8)
    fill(r2, base)

    def debug(*words):
        reply = r2.execute_command("_FT.DEBUG", *words)
        return dict(zip(map(text, reply[::2]), reply[1::2]))

    told = debug("VECSIM_INFO", "idx", "v")
    front, back = (dict(zip(map(text, told[name][::2]), told[name][1::2])) for name in ("FRONTEND_INDEX", "BACKEND_INDEX"))
    assert (front["INDEX_SIZE"], back["INDEX_SIZE"], told["BACKGROUND_INDEXING"]) == (40, 0, 1)
    assert debug("WORKERS", "STATS")["lowPriorityPendingJobs"] == 40
    with r2.pipeline(transaction=True) as pipe:                             # where searches need no worker
        pipe.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "NOCONTENT", "PARAMS", 2, "b", base[7].tobytes(),
                             "DIALECT", 2)
        reply, = pipe.execute()
    assert len(reply) == 2                                                  # they find what waits
    for words, refusal in ((("PAUSE",), "not running"), (("DRAIN",), "not running"), (("SLEEP",), "Invalid argument")):
        with pytest.raises(redis.ResponseError, match=refusal):
            r2.execute_command("_FT.DEBUG", "WORKERS", *words)
    assert text(r2.execute_command("_FT.DEBUG", "WORKERS",
                                   "RESUME")) == text(r2.execute_command("_FT.DEBUG", "WORKERS", "DRAIN")) == "OK"
    assert debug("WORKERS", "STATS")["totalPendingJobs"] == 0 and debug("WORKERS", "STATS")["totalJobsDone"] >= 40


def test_debug_and_info_sections(r2):
    base = vectors(100, 8)
    create(r2, algorithm="SVS-VAMANA", options=["COMPRESSION", "LVQ4x4"])
    fill(r2, base)
    assert r2.execute_command("_FT.DEBUG", "WORKERS", "DRAIN") in (b"OK", "OK")
    reply = r2.execute_command("_FT.DEBUG", "VECSIM_INFO", "idx", "v")
    told = dict(zip(map(text, reply[::2]), reply[1::2]))
    assert told["INDEX_SIZE"] == 100 and told["BACKGROUND_INDEXING"] == 0 and text(told["ALGORITHM"]) == "TIERED"
    back = dict(zip(map(text, told["BACKEND_INDEX"][::2]), told["BACKEND_INDEX"][1::2]))
    assert back["GRAPH_MAX_DEGREE"] == 32 and text(back["ALGORITHM"]) == "SVS"
    everything = r2.info("everything")
    assert not [name for name in r2.info() | r2.info("all") if name.startswith("search_")]
    assert "search_number_of_indexes" in r2.info("modules") and "search_number_of_indexes" in r2.info("search")
    assert everything["search_number_of_indexes"] == 1 and everything["search_fields_vector"]["SVS_VAMANA_Compressed"] == 1
    assert everything["search_used_memory_vector_index"] > 0
    assert {text(module[b"name"] if b"name" in module else module["name"]) for module in r2.module_list()} >= {"search"}


def test_arity(raw):
    for words in (["FT.SEARCH", "idx"], ["FT.CREATE", "idx", "SCHEMA", "t"], ["FT.INFO"], ["FT.INFO", "a", "b"],
                  ["FT.TAGVALS", "idx"], ["FT.ALIASUPDATE", "a"]):
        assert raw.call(*words) == f"ERR wrong number of arguments for '{words[0]}' command"


def test_workers_may_be_changed_under_way(r2):
    base = vectors(500, 8)
    create(r2, algorithm="SVS-VAMANA", metric="L2")
    fill(r2, base)
    n_jobs = 0
    for n in (0, 1, 3):
        r2.config_set("search-workers", n)
        assert r2.execute_command("_FT.DEBUG", "WORKERS", "N_THREADS") == n
        if n:
            r2.execute_command("FT.SEARCH", "idx", "*", "LIMIT", 0, 0)      # which a pool comes with, and which counts as a job
        told = r2.execute_command("_FT.DEBUG", "WORKERS", "STATS")
        told = dict(zip(told[::2], told[1::2]))
        assert told[b"numThreadsAlive"] == n and (not n or told[b"totalJobsDone"] > n_jobs)
        n_jobs = told[b"totalJobsDone"]
        pipe = r2.pipeline(transaction=False)
        for row in base[:100]:
            pipe.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b AS d]", "PARAMS", 2, "b", row.tobytes(), "SORTBY", "d",
                                 "NOCONTENT", "DIALECT", 2)
        assert [reply[1] for reply in pipe.execute()] == [b"d:%d" % i for i in range(100)]


def test_info_of_the_module_by_name(r2):
    r2.execute_command("FT.CREATE", "idx", "SCHEMA", "n", "NUMERIC")
    text = r2.execute_command("INFO", "search")
    assert {"search_number_of_indexes", "search_engine_searches"} <= set(text)
