"""Kinds of query through the socket: documents with a title (TEXT), a section (TAG), a name (TAG), a size (NUMERIC SORTABLE)
and a vector are loaded by pipeline; then eight clients send varied queries of one kind after the other, from a load generator
in C. Says how long loading took, what a document takes, and the text index beside the raw text. With --peer PORT a server with
Redis's search module is measured in turn with ours (it is emptied!), and ratios are printed. Needs a data directory with
items.jsonl.gz (short, section, name, size)."""
import gzip
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import redis
from localserver import Progress, as_dict, our_server, table
from rounds import median_of
from socket_search import BATCH, CLIENTS, HERE, read_rates, wire

#: Queries of each kind, and for how long they are sent in each round.
N_QUERIES, SECONDS = 300, 2
#: Seconds after loading in which a server may look at what it has got (windows are chosen, recall is measured) before it is
#: asked.
SETTLING_S = 15
VECTOR = ["SVS-VAMANA", 8, "TYPE", "FLOAT32", "DIM", None, "DISTANCE_METRIC", "COSINE", "COMPRESSION", "LVQ8"]


def _items(path: Path) -> list[dict]:
    return [json.loads(line) for line in gzip.open(path / "items.jsonl.gz", "rt")]


def _fields(item: dict) -> dict:
    return {"name": item["name"], "title": item["short"] or "", "section": item["section"] or "", "size": item["size"] or 0}


class Queries:
    """Makes queries of each kind about the items, the same ones for every server."""

    def __init__(self, items: list[dict], vectors: np.ndarray):
        self.random, self.items, self.vectors = random.Random(3), items, vectors
        titles = [re.findall(r"[a-z]{4,}", (item["short"] or "").lower()) for item in items]
        counts = Counter(word for title in titles for word in title)
        self.words = [word for word, n in counts.items() if 20 <= n <= 2000]
        self.titles = [title for title in titles if len(title) > 1]
        self.sections = [name for name, n in Counter(item["section"] for item in items).items() if name and n > 50]

    def word(self) -> str:
        return self.random.choice(self.words)

    def section(self) -> str:
        return "@section:{%s}" % _escaped(self.random.choice(self.sections))

    def name(self) -> str:
        return "@name:{%s}" % _escaped(self.random.choice(self.items)["name"])

    def sizes(self) -> str:
        low = self.random.randint(0, 2000)
        return f"@size:[{low} {low + self.random.choice([20, 200, 2000])}]"

    def pair(self) -> list[str]:
        title = self.random.choice(self.titles)
        at = self.random.randrange(len(title) - 1)
        return title[at:at + 2]

    def knn(self, where: str) -> list:
        vector = self.vectors[self.random.randrange(len(self.vectors))].tobytes()
        return ["FT.SEARCH", "pkgs", f"{where}=>[KNN 10 @emb $v AS d]", "PARAMS", "2", "v", vector, "SORTBY", "d",
                "RETURN", "2", "title", "d", "DIALECT", "2"]

    def kinds(self) -> dict:
        """Name -> what makes a query."""
        def titled(text):
            return ["FT.SEARCH", "pkgs", f"@title:({text})", "RETURN", "1", "title", "DIALECT", "2"]

        def keys(text, *more):
            return ["FT.SEARCH", "pkgs", text, *more, "NOCONTENT", "DIALECT", "2"]

        def grouped(text, *more):
            return ["FT.AGGREGATE", "pkgs", text, "GROUPBY", "1", "@section", "REDUCE", "COUNT", "0", "AS", "n", *more,
                    "DIALECT", "2"]
        return {
            "a word": lambda: titled(self.word()),
            "two words": lambda: titled(" ".join(self.pair())),
            "either word": lambda: titled(f"{self.word()}|{self.word()}"),
            "prefix": lambda: titled(f"{self.word()[:4]}*"),
            "fuzzy": lambda: titled(f"%{self.word()}%"),
            "phrase": lambda: titled('"%s"' % " ".join(self.pair())),
            "tag": lambda: keys(self.section()),
            "tag of one document": lambda: ["FT.SEARCH", "pkgs", self.name(), "DIALECT", "2"],
            "numbers": lambda: keys(self.sizes()),
            "numbers, sorted": lambda: keys(self.sizes(), "SORTBY", "size", "ASC"),
            "tag and numbers": lambda: keys(f"{self.section()} {self.sizes()}"),
            "a word and not a tag": lambda: keys(f"@title:({self.word()}) -{self.section()}"),
            "groups of a word": lambda: grouped(f"@title:({self.word()})", "REDUCE", "AVG", "1", "@size", "AS", "mean",
                                                "SORTBY", "2", "@n", "DESC", "LIMIT", "0", "10"),
            "groups of all": lambda: grouped("*"),
            "knn": lambda: self.knn("*"),
            "knn with a tag": lambda: self.knn(f"({self.section()})"),
            "knn with numbers": lambda: self.knn(f"({self.sizes()})"),
            "knn with a word": lambda: self.knn(f"(@title:({self.word()}))"),
            "knn of one document": lambda: self.knn(f"({self.name()})"),
        }


def _escaped(tag: str) -> str:
    return re.sub(r"([^A-Za-z0-9_])", r"\\\1", tag)


def _resident(r: redis.Redis) -> int:
    return int(r.info("memory")["used_memory_rss"])


def _wait_indexed(r: redis.Redis, index: str) -> dict:
    while True:
        info = as_dict(r.execute_command("FT.INFO", index))
        if float(info["percent_indexed"]) >= 1 and not int(info["indexing"]):
            return info
        time.sleep(0.1)


def _load(r: redis.Redis, path: Path, items: list[dict]) -> dict:
    """Fills an empty server; what that took and what it takes."""
    base = np.load(path / "base.npy", mmap_mode="r")
    empty = _resident(r)
    vector = [base.shape[1] if word is None else word for word in VECTOR]
    r.execute_command("FT.CREATE", "pkgs", "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "name", "TAG", "title",
                      "TEXT", "section", "TAG", "size", "NUMERIC", "SORTABLE", "emb", "VECTOR", *vector)
    progress, pipe, start = Progress("loading", len(items)), r.pipeline(transaction=False), time.perf_counter()
    for i, (item, row) in enumerate(zip(items, base), 1):
        pipe.hset(f"pkg:{i}", mapping=_fields(item) | {"emb": row.astype(np.float32).tobytes()})
        if i % BATCH == 0:
            pipe.execute()
            progress(i)
    pipe.execute()
    loaded = time.perf_counter() - start
    _wait_indexed(r, "pkgs")
    ready = time.perf_counter() - start
    held = (_resident(r) - empty) / len(items)
    r.execute_command("FT.CREATE", "titles", "ON", "HASH", "PREFIX", 1, "pkg:", "SCHEMA", "title", "TEXT")
    info = _wait_indexed(r, "titles")
    text = sum(float(info[name]) for name in ("inverted_sz_mb", "offset_vectors_sz_mb",
                                              "text_overhead_sz_mb")) * (1 << 20) / len(items)
    r.execute_command("FT.DROPINDEX", "titles")
    raw = sum(len((item["short"] or "").encode()) for item in items) / len(items)
    return {"loaded_per_s": len(items) / loaded, "ready_per_s": len(items) / ready, "resident_bytes": held,
            "text_index_bytes": text, "raw_text_bytes": raw}


def run(directory: str, options=None) -> dict:
    """Prints what loading took and a table of the kinds; returns {server: {"load": ..., kind:
    {"qps", "p50_us", "p99_us", "found"}}}."""
    path = Path(directory)
    if not (path / "items.jsonl.gz").exists() or not shutil.which("gcc"):
        print("queries: not measured: items.jsonl.gz in the data directory and gcc for the load generator are needed")
        return {}
    items = _items(path)
    queries = Queries(items, np.load(path / "queries.npy").astype(np.float32))
    asked = {name: [make() for _ in range(N_QUERIES)] for name, make in queries.kinds().items()}
    peer = getattr(options, "peer", None)
    with tempfile.TemporaryDirectory() as scratch, our_server() as (port, _):
        subprocess.run(["gcc", "-O2", "-o", scratch + "/loadgen", str(HERE / "loadgen.c")], check=True)
        servers = {"ours": redis.Redis(port=port, protocol=2, socket_timeout=600)}
        if peer:
            servers["peer"] = redis.Redis(port=peer, protocol=2, socket_timeout=600)
            servers["peer"].flushall()
        result = {name: {"load": _load(r, path, items)} for name, r in servers.items()}
        time.sleep(SETTLING_S)
        for kind, words in asked.items():
            rates = {name: [] for name in servers}
            for _ in range((options and options.rounds) or 3):
                for name, r in servers.items():
                    rates[name].append(read_rates(scratch + "/loadgen", r.connection_pool.connection_kwargs["port"], CLIENTS,
                                                  SECONDS, map(wire, words)))
            for name, r in servers.items():
                found = float(np.mean([r.execute_command(*one)[0] for one in words[:100]]))
                result[name][kind] = median_of(rates[name]) | {"found": found}
    print(table(["server", "HSET/s", "indexed/s", "resident bytes a document", "text index", "raw text"],
                [[name, *(f"{value:,.0f}" for value in one["load"].values())] for name, one in result.items()]))
    rows = []
    for kind in asked:
        ours, others = result["ours"][kind], [one[kind] for name, one in result.items() if name != "ours"]
        rows.append([kind, f"{ours['found']:,.0f}", f"{ours['qps']:,.0f}", f"{ours['p50_us']:.0f}",
                     f"{ours['p99_us']:.0f}", f"{ours['p99_us'] / ours['p50_us']:.1f}x",
                     *(f"{ours['qps'] / other['qps']:.2f}x of {other['qps']:,.0f}" for other in others)])
    print(table(["kind", "found", "/s", "p50 us", "p99 us", "p99 / p50", *(["peer"] if peer else [])], rows))
    return result
