"""Indexes ON JSON: what fields take from documents, what searches return of them, and how they follow changes."""
import json

import numpy as np
import pytest
import redis
from samples import DTYPES, results, text

DIM = 4


def create(client, *schema, name="idx"):
    return client.execute_command("FT.CREATE", name, "ON", "JSON", "PREFIX", 1, "d:", "SCHEMA", *schema)


def put(client, number, document):
    client.json().set(f"d:{number}", "$", document)


def vector_field(path="$.v", name="v", algorithm="FLAT", dtype="FLOAT32", dim=DIM, *options):
    words = ["TYPE", dtype, "DIM", dim, "DISTANCE_METRIC", "L2", *options]
    return [path, "AS", name, "VECTOR", algorithm, len(words), *words]


def search(client, query, *words):
    total, rows = results(client.execute_command("FT.SEARCH", "idx", query, *words))
    assert total >= len(rows)
    return [(key, {name: value if isinstance(value, (list, float)) else text(value) for name, value in fields.items()}) for key,
            fields in rows]


def ids(client, query, *words):
    return [key for key, _ in search(client, query, *words)]


def knn(client, query, k=10, clause="*", name="v", dtype="FLOAT32", *words):
    blob = np.asarray(query, DTYPES[dtype]).tobytes()
    found = search(client, f"{clause}=>[KNN {k} @{name} $b AS d]", "PARAMS", 2, "b", blob, "SORTBY", "d", "RETURN", 1, "d",
                   "DIALECT", 2,
                   "LIMIT", 0, 1000, *words)
    return [(key, float(fields["d"])) for key, fields in found]


def info(client, name="idx"):
    reply = client.execute_command("FT.INFO", name)
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {text(key): value for key, value in pairs}


def failures(client):
    """How many documents could not be indexed, and why the last one could not."""
    errors = info(client)["Index Errors"]
    errors = errors if isinstance(errors, dict) else dict(zip(errors[::2], errors[1::2]))
    return errors[b"indexing failures"], text(errors[b"last indexing error"])


def test_what_a_search_returns(both):
    create(both, "$.t", "AS", "t", "TAG", "$.n", "AS", "n", "NUMERIC", "SORTABLE", "$.x", "TAG")
    put(both, 1, {"t": "a", "n": 5, "x": "y", "o": {"p": [1, 2.5], "q": True}})
    put(both, 2, {"t": ["a", "b,c"], "n": 1.5})
    one, two = '{"t":"a","n":5,"x":"y","o":{"p":[1,2.5],"q":true}}', '{"t":["a","b,c"],"n":1.5}'
    assert search(both, "@t:{a}") == [("d:1", {"$": one}), ("d:2", {"$": two})]
    assert search(both, "@t:{b\\,c}", "RETURN", 2, "$", "t") == [("d:2", {"$": two, "t": '["a","b,c"]'})]
    assert search(both, "*", "SORTBY", "n") == [("d:2", {"n": "1.5", "$": two}), ("d:1", {"n": "5", "$": one})]
    assert search(both, "@n:[5 5]", "RETURN", 8, "n", "$.o.p[1]", "AS", "p", "$.o.q", "$.o", "$.none", "o")[0][1] == {
        "n": "5", "p": "2.5", "$.o.q": "1", "$.o": '{"p":[1,2.5],"q":true}'}
    assert search(both, "@n:[5 5]", "RETURN", 2, "$.x", "x") == [("d:1", {"$.x": "y"})]
    assert search(both, "*", "NOCONTENT") == [("d:1", {}), ("d:2", {})]
    # From dialect 3 on a path stands for all that it finds.
    assert search(both, "@n:[5 5]", "RETURN", 4, "n", "t", "$.o.p[*]", "$.none", "DIALECT", 3)[0][1] == {
        "n": "[5]", "t": '["a"]', "$.o.p[*]": "[1,2.5]"}
    assert search(both, "@n:[5 5]", "DIALECT", 3) == [("d:1", {"$": f"[{one}]"})]


def test_expanded_replies(r3, r2):
    create(r3, "$.t", "AS", "t", "TAG", "$.n", "AS", "n", "NUMERIC")
    put(r3, 1, {"t": "a", "n": 5, "o": {"p": [1, 2.5]}})
    reply = r3.execute_command("FT.SEARCH", "idx", "*", "FORMAT", "EXPAND", "SORTBY", "n")
    assert reply[b"format"] == b"EXPAND"
    assert reply[b"results"][0][b"extra_attributes"] == {b"n": [5], b"$": [{b"t": b"a", b"n": 5, b"o": {b"p": [1, 2.5]}}]}
    reply = r3.execute_command("FT.AGGREGATE", "idx", "*", "LOAD", 2, "@t", "$.o.p", "APPLY", "upper(@t)", "AS", "u",
                               "FORMAT", "EXPAND")
    assert reply[b"results"][0][b"extra_attributes"] == {b"t": [b"a"], b"$.o.p": [[1, 2.5]], b"u": b"A"}
    for name in ("FT.SEARCH", "FT.AGGREGATE"):
        with pytest.raises(redis.ResponseError, match="requires dialect 3"):
            r3.execute_command(name, "idx", "*", "FORMAT", "EXPAND", "DIALECT", 2)
        with pytest.raises(redis.ResponseError, match="only supported with RESP3"):
            r2.execute_command(name, "idx", "*", "FORMAT", "EXPAND")
    r3.execute_command("FT.CREATE", "hashes", "SCHEMA", "t", "TAG")
    with pytest.raises(redis.ResponseError, match="only supported with JSON"):
        r3.execute_command("FT.SEARCH", "hashes", "*", "FORMAT", "EXPAND")


def test_fields_of_several_values(both):
    create(both, "$..tag", "AS", "deep", "TAG", "$.tags[*]", "AS", "tags", "TAG", "SEPARATOR", "|", "$.nums", "AS", "nums",
           "NUMERIC", "$.flags", "AS", "flag", "TAG", "$.text[*]", "AS", "text", "TEXT")
    put(both, 1, {"tag": "x", "in": {"tag": "Y"}, "tags": ["a|b", "c", None], "nums": [1, 50, -3.5], "flags": True,
                  "text": ["red fox", "dog"]})
    put(both, 2, {"nums": 7, "tags": [], "flags": False, "text": ["blue"]})
    assert ids(both, "@deep:{x}") == ids(both, "@deep:{y}") == ids(both, "@tags:{b}") == ids(both, "@tags:{c}") == ["d:1"]
    assert ids(both, "@flag:{true}") == ["d:1"] and ids(both, "@flag:{false}") == ["d:2"]
    for query, found in (("[1 1]", ["d:1"]), ("[40 60]", ["d:1"]), ("[-4 -3]", ["d:1"]), ("[0 10]", ["d:1", "d:2"]),
                         ("[2 6]", []), ("[(50 inf]", [])):
        assert ids(both, f"@nums:{query}") == found, query
        assert ids(both, f"-@nums:{query}") == [key for key in ("d:1", "d:2") if key not in found]
    assert ids(both, "@text:(fox dog)") == ["d:1"] and ids(both, "@text:blue") == ["d:2"]
    both.json().arrpop("d:1", "$.nums", 1)
    assert ids(both, "@nums:[40 60]") == [] and ids(both, "@nums:[-4 -3]") == ["d:1"]
    assert int(info(both)["hash_indexing_failures"]) == 0
    both.delete("d:1")
    assert ids(both, "@nums:[-inf inf]") == ["d:2"] and ids(both, "@deep:{x}") == []


def test_texts_of_several_values(both):
    create(both, "$.l", "AS", "l", "TEXT", "$.m[*]", "AS", "m", "TEXT", "$.s", "AS", "s", "TEXT")
    put(both, 1, {"l": ["deep blue", "sea", "stemmed words"], "m": None, "s": "hot dog"})
    put(both, 2, {"l": ["blue sea"], "m": ["hot", "dog"], "s": None})
    assert ids(both, '@l:"blue sea"') == ["d:2"] and sorted(ids(both, "@l:(blue sea)")) == ["d:1", "d:2"]
    assert ids(both, '@l:"deep blue"') == ["d:1"]
    assert ids(both, "@l:(deep sea)", "SLOP", 99) == [] and ids(both, "@l:(deep sea)=>{$slop: 100}", "DIALECT", 2) == ["d:1"]
    assert sorted(ids(both, "@l:(blue sea)", "SLOP", 99, "INORDER")) == ["d:1", "d:2"] and ids(both, "@l:stem") == ["d:1"]
    assert ids(both, '"hot dog"') == ["d:1"] and ids(both, '@m:"hot dog"') == []
    assert ids(both, "@s:(hot dog)", "INORDER") == ["d:1"]
    for words in (("@m:(hot dog)", "SLOP", 5), ("hot dog", "INORDER"), ("@m:(hot dog)=>{$inorder: false}", "DIALECT", 2)):
        with pytest.raises(redis.ResponseError, match="undefined ordering `m`"):
            search(both, *words)


def test_several_points(both):
    create(both, "$.at", "AS", "at", "GEO", "$..p", "AS", "p", "GEO", "SORTABLE")
    put(both, 1, {"at": ["2.35,48.85", None, "-0.12,51.5"], "p": "10,10"})
    put(both, 2, {"at": "2.3,48.9", "x": {"p": "20,20"}, "p": "30,30"})
    assert ids(both, "@at:[2.35 48.85 20 km]") == ["d:1", "d:2"] and ids(both, "@at:[-0.1 51.5 20 km]") == ["d:1"]
    assert ids(both, "@p:[20 20 1 km]") == ids(both, "@p:[30 30 1 km]") == ["d:2"] and ids(both, "-@p:[20 20 1 km]") == ["d:1"]
    both.json().arrpop("d:1", "$.at")
    assert ids(both, "@at:[-0.1 51.5 20 km]") == []
    put(both, 1, {"at": ["2.35,48.85", "nowhere"]})
    assert failures(both)[0] == 1 and ids(both, "*") == ["d:2"]


def test_many_numbers_against_brute_force(r2):
    create(r2, "$.n[*]", "AS", "n", "NUMERIC")
    rng = np.random.default_rng(3)
    documents = {}
    for step in range(400):
        number = int(rng.integers(60))
        if rng.random() < 0.15:
            r2.delete(f"d:{number}")
            documents.pop(number, None)
        else:
            documents[number] = rng.integers(0, 1000, rng.integers(0, 6)).tolist()
            put(r2, number, {"n": documents[number]})
        if step % 20 == 0:
            low, high = sorted(rng.integers(0, 1000, 2).tolist())
            wanted = {f"d:{key}" for key, values in documents.items() if any(low <= value <= high for value in values)}
            assert set(ids(r2, f"@n:[{low} {high}]", "LIMIT", 0, 100)) == wanted


@pytest.mark.parametrize("schema,value,complaint", [
    ("NUMERIC", "x", "String type can represent only TEXT, TAG, GEO or GEOMETRY field"), ("NUMERIC", True, "Boolean type"),
    ("NUMERIC", {}, "Object type"), ("NUMERIC", [1, "x"], "NUMERIC fields can only contain numeric or nulls"),
    ("TAG", 5, "Numeric type can represent only NUMERIC field"), ("TAG", {"a": 1}, "Object type"), ("TAG", ["a", 1],
        "can only contain strings"),
    ("TAG", ["a", True], "can only contain strings"), ("TEXT", 1.5, "Numeric type"), ("TEXT", False, "Boolean type"), ("TEXT",
        [["a"]], "only contain strings"),
    ("VECTOR", "x", "String type"), ("VECTOR", 1, "Numeric type"), ("VECTOR", {}, "Object type"), ("VECTOR", [],
        "Empty array for vector field"),
    ("VECTOR", [1, 2, 3], "Invalid vector length. Expected 4, got 3"), ("VECTOR", [1, 2, "x", 4],
        "Invalid vector element at index 2"),
    ("VECTOR", [1, None, 3, 4], "Invalid vector element at index 1"), ("VECTOR", [True, 1, 2, 3],
        "Invalid vector element at index 0"),
    ("VECTOR", [[1, 2, 3, 4]], "Invalid vector element at index 0"), ("VECTOR", [1e300, 0.5, 0.5, 0.5], "not a finite number"),
])
def test_values_that_cannot_be_indexed(r2, schema, value, complaint):
    create(r2, *(vector_field("$.x", "x") if schema == "VECTOR" else ["$.x", "AS", "x", schema]), "$.ok", "AS", "ok", "TAG")
    put(r2, 1, {"x": value, "ok": "yes"})
    count, why = failures(r2)
    assert count == 1 and complaint in why and ids(r2, "@ok:{yes}") == []
    for good in (None, [0.5, 1, 2, 3] if schema == "VECTOR" else [5, None] if schema == "NUMERIC" else ["a", None]):
        put(r2, 1, {"x": good, "ok": "yes"})
        assert ids(r2, "@ok:{yes}") == ["d:1"]
    put(r2, 1, {"x": value, "ok": "yes"})
    assert failures(r2)[0] == 2 and ids(r2, "*") == []


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
def test_vectors(both, dtype, algorithm):
    create(both, *vector_field("$.v", "v", algorithm, dtype), "$.t", "AS", "t", "TAG")
    is_whole = dtype in ("INT8", "UINT8")
    rng = np.random.default_rng(1)
    base = rng.integers(0, 100, (50, DIM)) if is_whole else rng.normal(size=(50, DIM))
    for i, row in enumerate(base.tolist()):
        put(both, i, {"v": row, "t": "even" if i % 2 == 0 else "odd"})
    query = base[7]
    stored, blob = base.astype(DTYPES[dtype]).astype(float), np.asarray(query, DTYPES[dtype]).astype(float)
    exact = ((stored - blob) ** 2).sum(1)
    for clause, among in (("*", np.arange(50)), ("(@t:{odd})", np.arange(1, 50, 2))):
        found = knn(both, query, 5, clause, "v", dtype)
        order = among[np.argsort(exact[among], kind="stable")][:5]
        assert [key for key, _ in found] == [f"d:{i}" for i in order]
        assert np.allclose([distance for _, distance in found], exact[order], rtol=1e-2 if dtype == "FLOAT16" else 1e-5,
                           atol=1e-2)
    both.json().set("d:7", "$.v[0]", 120)
    assert knn(both, query, 1, "*", "v", dtype)[0][0] != "d:7"
    both.json().set("d:7", "$.v[0]", int(query[0]) if is_whole else float(query[0]))
    assert knn(both, query, 1, "*", "v", dtype) == [("d:7", 0.0)]
    both.json().delete("d:7", "$.v")
    assert knn(both, query, 1, "*", "v", dtype)[0][0] != "d:7" and "d:7" in ids(both, "*", "LIMIT", 0, 100)


def test_half_precision_of_bfloat16(r2):
    create(r2, *vector_field("$.v", "v", "FLAT", "BFLOAT16", 2))
    put(r2, 1, {"v": [1.0, -2.5]})
    put(r2, 2, {"v": [1.00390625 + 2**-9, 0.0]})               # rounds to the nearest
    query = (np.array([1.0, -2.5], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    reply = r2.execute_command("FT.SEARCH", "idx", "*=>[KNN 2 @v $b AS d]", "PARAMS", 2, "b", query, "SORTBY", "d", "RETURN", 1,
                               "d", "DIALECT", 2)
    assert reply[1] == b"d:1" and float(reply[2][1]) == 0 and abs(float(reply[4][1]) - 6.25) < 0.01


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW", "SVS-VAMANA"])
def test_several_vectors_per_document(both, algorithm):
    create(both, *vector_field("$.vs[*]", "v", algorithm), "$.n", "AS", "n", "NUMERIC")
    rng = np.random.default_rng(2)
    documents = {}

    def set_one(number):
        documents[number] = rng.normal(size=(int(rng.integers(0, 6)), DIM)).astype("<f4")
        put(both, number, {"n": number, "vs": [*documents[number].tolist(), None]})

    def nearest(query, among):
        pairs = [(float(((documents[i].astype(float) - query) ** 2).sum(1).min()), i) for i in among if len(documents[i])]
        return sorted(pairs)

    for number in range(80):
        set_one(number)
    for step in range(12):
        for number in rng.integers(0, 80, 5).tolist():
            set_one(number)
        query = rng.normal(size=DIM)
        for clause, among in (("*", range(80)), ("@n:[0 20]", range(21)), ("@n:[200 300]", ())):
            exact = nearest(np.float32(query), among)
            found = knn(both, query, 10, clause)
            assert [key for key, _ in found] == [f"d:{i}" for _, i in exact[:10]]
            assert np.allclose([distance for _, distance in found], [distance for distance, _ in exact[:10]], rtol=1e-4)
    everything = knn(both, query, 80)
    assert [key for key, _ in everything] == [f"d:{i}" for _, i in nearest(np.float32(query), range(80))]
    radius = everything[15][1]
    blob = np.float32(query).tobytes()
    within = ids(both, "@v:[VECTOR_RANGE $r $b]", "PARAMS", 4, "r", radius * 1.000001, "b", blob, "DIALECT", 2, "NOCONTENT",
                 "LIMIT", 0, 100)
    assert set(within) == {key for key, _ in everything[:16]}
    for policy in ("ADHOC_BF", "BATCHES BATCH_SIZE 3"):
        found = ids(both, f"@n:[0 40]=>[KNN 5 @v $b HYBRID_POLICY {policy} AS d]", "PARAMS", 2, "b", blob, "SORTBY", "d",
                    "DIALECT", 2, "NOCONTENT")
        assert found == [f"d:{i}" for _, i in nearest(np.float32(query), range(41))[:5]]
    for number in range(80):
        both.delete(f"d:{number}")
    assert knn(both, query, 10) == [] and int(info(both)["num_docs"]) == 0


def test_one_array_of_vectors(r2):
    create(r2, *vector_field("$.vs", "one", dim=2), name="single")
    create(r2, *vector_field("$..vs", "v", dim=2))
    put(r2, 1, {"vs": [[1, 2], [3, 4]]})
    put(r2, 2, {"vs": [5, 6], "in": {"vs": [7, 8]}})
    assert knn(r2, [3, 4], 2) == [("d:1", 0.0), ("d:2", 8.0)] and knn(r2, [7, 8], 1) == [("d:2", 0.0)]
    assert int(info(r2, "single")["hash_indexing_failures"]) == 1 and int(info(r2, "single")["num_docs"]) == 1


@pytest.mark.parametrize("path", ["$.v", "$.vs[*]"])
def test_rescoring_with_the_documents_own_vectors(r2, path):
    dim, n = 32, 400
    create(r2, *vector_field(path, "v", "SVS-VAMANA", "FLOAT32", dim, "COMPRESSION", "LVQ4"))
    rng = np.random.default_rng(7)
    base = rng.normal(size=(n, 2, dim)).astype("<f4")
    pipe = r2.pipeline(transaction=False)
    for i in range(n):
        pipe.json().set(f"d:{i}", "$", {"v": base[i, 0].tolist(), "vs": base[i].tolist()})
    pipe.execute()
    of = base.astype(float) if path == "$.vs[*]" else base[:, :1].astype(float)
    for query in rng.normal(size=(5, dim)).astype("<f4"):
        exact = ((of - query) ** 2).sum(2).min(1)
        found = search(r2, f"*=>[KNN 10 @v $b RERANK {n} AS d]", "PARAMS", 2, "b", query.tobytes(), "SORTBY", "d", "RETURN", 1,
                       "d", "DIALECT", 2)
        assert [key for key, _ in found] == [f"d:{i}" for i in np.argsort(exact)[:10]]
        assert np.allclose([float(fields["d"]) for _, fields in found], np.sort(exact)[:10], rtol=1e-5)


def test_changes_of_a_part(both):
    create(both, "$.a.b", "AS", "b", "NUMERIC", "$.l[-1]", "AS", "last", "NUMERIC", "$.t", "AS", "t", "TEXT",
           *vector_field("$.v", "v", dim=2))
    put(both, 1, {"a": {"b": 1}, "l": [1, 2], "t": "one", "v": [0.5, 1]})
    before = int(info(both)["max_doc_id"])
    both.json().numincrby("d:1", "$.a.b", 4)
    assert ids(both, "@b:[5 5]") == ["d:1"]
    both.json().set("d:1", "$.a", {"b": 9})
    assert ids(both, "@b:[9 9]") == ["d:1"]
    both.json().arrappend("d:1", "$.l", 30)
    assert ids(both, "@last:[30 30]") == ["d:1"]
    both.json().strappend("d:1", " two", "$.t")
    assert ids(both, "two") == ["d:1"]
    both.json().merge("d:1", "$", {"a": None, "v": [3, 3]})
    assert ids(both, "@b:[-inf inf]") == [] and knn(both, [3, 3], 1) == [("d:1", 0.0)]
    both.json().clear("d:1", "$.l")
    assert ids(both, "@last:[-inf inf]") == []
    both.json().mset([("d:1", "$.t", "three"), ("d:2", "$", {"t": "three"})])
    assert ids(both, "three") == ["d:1", "d:2"] and ids(both, "two") == [] and int(info(both)["max_doc_id"]) > before
    both.rename("d:2", "e:2")
    assert ids(both, "three") == ["d:1"]
    both.rename("e:2", "d:3")
    both.copy("d:3", "d:4")
    assert ids(both, "three") == ["d:1", "d:3", "d:4"]
    both.hset("d:5", mapping={"t": "three"})
    both.set("d:3", "x")
    both.json().delete("d:4")
    both.pexpire("d:1", 1)
    assert ids(both, "three") in ([], ["d:1"]) and both.execute_command("PING")
    both.execute_command("FT.CREATE", "hashes", "PREFIX", 1, "d:", "SCHEMA", "t", "TEXT")
    assert results(both.execute_command("FT.SEARCH", "hashes", "three"))[1][0][0] == "d:5"


def test_missing_and_empty(both):
    create(both, "$.t", "AS", "t", "TAG", "INDEXMISSING", "INDEXEMPTY", "$.n", "AS", "n", "NUMERIC", "INDEXMISSING")
    put(both, 1, {"t": "", "n": 1})
    put(both, 2, {"t": None})
    put(both, 3, {"n": None, "t": ["a", ""]})
    assert ids(both, "ismissing(@t)", "DIALECT", 2) == ["d:2"] and ids(both, "ismissing(@n)", "DIALECT", 2) == ["d:2", "d:3"]
    assert ids(both, '@t:{""}', "DIALECT", 2) == ["d:1", "d:3"]


def test_options_that_name_paths(both):
    both.execute_command("FT.CREATE", "idx", "ON", "JSON", "PREFIX", 1, "d:", "FILTER", "@n > 2", "SCORE_FIELD", "$.s",
                         "LANGUAGE_FIELD", "$.l",
                         "SCHEMA", "$.n", "AS", "n", "NUMERIC", "$.t", "AS", "t", "TEXT")
    put(both, 1, {"n": 3, "s": 0.5, "l": "italian", "t": "traduzioni"})
    put(both, 2, {"n": 4, "s": 1, "t": "translations"})
    put(both, 3, {"n": 1, "t": "translation"})
    assert ids(both, "*") == ["d:2", "d:1"] and ids(both, "translating", "NOCONTENT") == ["d:2"]
    assert ids(both, "traduzione", "LANGUAGE", "italian") == ["d:1"]
    assert ids(both, "*", "SORTBY", "t") == ["d:1", "d:2"]
    both.json().numincrby("d:3", "$.n", 5)
    assert ids(both, "@n:[6 6]") == ["d:3"]


def test_existing_documents_and_new_fields(both):
    for i in range(300):
        put(both, i, {"a": i, "b": f"t{i % 3}"})
    create(both, "$.a", "AS", "a", "NUMERIC")
    both.execute_command("FT.ALTER", "idx", "SCHEMA", "ADD", "$.b", "AS", "b", "TAG")
    for _ in range(200):
        if int(info(both)["indexing"]) == 0:
            break
    assert int(info(both)["num_docs"]) == 300 and len(ids(both, "@b:{t1}", "LIMIT", 0, 500)) == 100
    assert ids(both, "@a:[5 5] @b:{t2}") == ["d:5"]


def test_aggregation(both):
    create(both, "$.t", "AS", "t", "TAG", "$.n", "AS", "n", "NUMERIC", "$.tags[*]", "AS", "tags", "TAG")
    put(both, 1, {"t": "a", "n": 3, "tags": ["x", "y"], "o": {"p": 10}})
    put(both, 2, {"t": "b", "n": 5, "tags": ["x"], "o": {"p": 9}})
    put(both, 3, {"t": "a", "n": 7, "o": None})

    def rows(*words):
        reply = both.execute_command("FT.AGGREGATE", "idx", "*", *words)
        if isinstance(reply, dict):
            return [{text(k): v if v is None else text(v) for k,
                     v in row[b"extra_attributes"].items()} for row in reply[b"results"]]
        return [dict((text(k), v if v is None else text(v)) for k, v in zip(row[::2], row[1::2])) for row in reply[1:]]

    assert rows("GROUPBY", 1, "@t", "REDUCE", "SUM", 1, "@n", "AS", "s", "SORTBY", 2, "@t", "ASC") == [{"t": "a", "s": "10"},
        {"t": "b", "s": "5"}]
    loaded = rows("LOAD", 6, "$.o.p", "AS", "p", "@n", "@tags", "__key", "SORTBY", 2, "@p", "ASC")
    assert loaded == [{"p": "9", "n": "5", "tags": "x", "__key": "d:2"}, {"p": "10", "n": "3", "tags": "x", "__key": "d:1"},
                      {"n": "7", "__key": "d:3"}]
    assert rows("LOAD", 3, "$.o", "AS", "o", "LIMIT", 2, 1) == [{"o": None}]
    assert json.loads(rows("LOAD", "*", "FILTER", "@n == 5")[0]["$"])["t"] == "b"
    assert rows("LOAD", 2, "@tags", "@n", "APPLY", "upper(@tags)", "AS", "u", "FILTER", "@n < 4", "DIALECT",
                3) == [{"tags": '["x","y"]', "n": "[3]", "u": "X"}]
    assert [row["n"] for row in rows("LOAD", 1, "@n", "SORTBY", 2, "@n", "DESC", "DIALECT", 3)] == ["[7]", "[5]", "[3]"]
    both.execute_command("FT.CREATE", "sorted", "ON", "JSON", "SCHEMA", "$.t", "AS", "t", "TAG", "SORTABLE")
    found = str(both.execute_command("FT.AGGREGATE", "sorted", "*", "GROUPBY", 1, "@t", "DIALECT", 3))
    assert "b'b'" in found and '["b"]' not in found


def test_what_the_schema_says(both):
    create(both, "$.t", "AS", "t", "TAG", "$.s", "AS", "s", "TEXT", "SORTABLE", *vector_field("$..v", "v"))
    reply = info(both)
    definition = reply["index_definition"]
    assert (definition if isinstance(definition, dict) else dict(zip(definition[::2], definition[1::2])))[b"key_type"] == b"JSON"
    attributes = [str(one) for one in reply["attributes"]]
    assert "$.t" in attributes[0] and "UNF" in attributes[1]
    vecsim = both.execute_command("_FT.DEBUG", "VECSIM_INFO", "idx", "v")
    vecsim = vecsim if isinstance(vecsim, dict) else dict(zip(vecsim[::2], vecsim[1::2]))
    assert vecsim[b"IS_MULTI_VALUE"] == 1
    for path in ("$.books[*", "$.a..", "$.a + 1", "not a path"):
        with pytest.raises(redis.ResponseError, match="Invalid JSONPath"):
            both.execute_command("FT.CREATE", "bad", "ON", "JSON", "SCHEMA", path, "AS", "x", "TAG")
    with pytest.raises(redis.ResponseError, match="not supported with JSON"):
        both.execute_command("FT.SEARCH", "idx", "*", "HIGHLIGHT")
    assert both.execute_command("FT._LIST") in ([b"idx"], {b"idx"})


def test_memory_of_vectors(r2):
    vector = np.random.default_rng(1).normal(size=384).astype("<f4").tolist()
    r2.json().set("d:1", "$", {"v": vector})
    assert r2.memory_usage("d:1") < 2200                        # four bytes for each number
    assert r2.json().get("d:1", "$.v") == [vector]
