"""What the tests of FT commands share: random vectors with tags and numbers, and replies of both protocols in one form."""
import numpy as np

TAGS = ["red", "green", "blue", "rare"]
DTYPES = {"FLOAT32": np.float32, "FLOAT64": np.float64, "FLOAT16": np.float16, "INT8": np.int8, "UINT8": np.uint8}


def vectors(n, dim, dtype="FLOAT32", seed=1):
    """(n, dim) clustered vectors of a TYPE."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(16, dim))
    x = centres[rng.integers(16, size=n)] + 0.6 * rng.normal(size=(n, dim))
    if dtype in ("INT8", "UINT8"):
        x = np.clip(np.round(x * 25) + (128 if dtype == "UINT8" else 0), *((0, 255) if dtype == "UINT8" else (-127, 127)))
    return x.astype(DTYPES[dtype])


def distances(base, query, metric):
    """The distance of each row of `base` to `query`, as Redis defines it."""
    base, query = np.asarray(base, dtype=np.float64), np.asarray(query, dtype=np.float64)
    if metric == "L2":
        return ((base - query) ** 2).sum(1)
    if metric == "IP":
        return 1 - base @ query
    return 1 - base @ query / (np.linalg.norm(base, axis=1) * np.linalg.norm(query))


def create(client, *, name="idx", algorithm="FLAT", dtype="FLOAT32", dim=8, metric="COSINE", options=(), schema=(), prefix="d:"):
    """An index with tag, num and v."""
    words = ["TYPE", dtype, "DIM", dim, "DISTANCE_METRIC", metric, *options]
    return client.execute_command("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", "tag", "TAG", "num",
                                  "NUMERIC", "SORTABLE", "v", "VECTOR", algorithm, len(words), *words, *schema)


def fill(client, base, prefix="d:"):
    """Document i has tag TAGS[...], num i and row i of `base`."""
    pipe = client.pipeline(transaction=False)
    for i, row in enumerate(base):
        pipe.hset(f"{prefix}{i}", mapping={"tag": tag_of(i), "num": i, "v": row.tobytes()})
    pipe.execute()


def tag_of(i):
    return "rare" if i % 97 == 0 else TAGS[i % 3]


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def results(reply):
    """(total, [(id, fields)]) of an FT.SEARCH reply of either protocol."""
    if isinstance(reply, dict):
        reply = {text(key): value for key, value in reply.items()}
        rows = [{text(key): value for key, value in row.items()} for row in reply["results"]]
        return reply["total_results"], [(text(row["id"]),
                                         {text(k): v for k, v in row.get("extra_attributes", {}).items()}) for row in rows]
    rows, i = [], 1
    while i < len(reply):
        fields = {}
        if i + 1 < len(reply) and isinstance(reply[i + 1], list):
            pairs = reply[i + 1]
            fields = {text(k): v for k, v in zip(pairs[::2], pairs[1::2])}
        rows.append((text(reply[i]), fields))
        i += 2 if i + 1 < len(reply) and isinstance(reply[i + 1], list) else 1
    return reply[0], rows


def search(client, query, *words, index="idx"):
    """`results` of one FT.SEARCH in dialect 2."""
    return results(client.execute_command("FT.SEARCH", index, query, *words, "DIALECT", 2))


def knn(client, vector, k=10, filter="*", *words, index="idx", attributes=""):
    """[(id, distance)] of a KNN search by ascending distance."""
    total, rows = search(client, f"{filter}=>[KNN {k} @v $b {attributes} AS dist]", "PARAMS", 2,
                         "b", vector.tobytes(), "SORTBY", "dist", "RETURN", 1, "dist", "LIMIT", 0, k, *words, index=index)
    assert total == len(rows)
    return [(key, float(fields["dist"])) for key, fields in rows]


def info(client, index="idx"):
    """FT.INFO as a dict with text keys, nested lists of pairs made dicts."""
    return _plain(client.execute_command("FT.INFO", index))


def _plain(value):
    if isinstance(value, dict):
        return {text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if (value and len(value) % 2 == 0 and all(isinstance(key, (bytes, str)) for key in value[::2])
                and len({text(k) for k in value[::2]}) == len(value) // 2
                and not all(isinstance(item, (bytes, str)) for item in value)):
            return {text(key): _plain(item) for key, item in zip(value[::2], value[1::2])}
        return [_plain(item) for item in value]
    return text(value) if isinstance(value, (bytes, str)) else value
