"""Sends queries to a server of its own until so many have been answered: texts that follow the grammar, with accidents, and
lists of options of FT.SEARCH, FT.AGGREGATE, FT.HYBRID, FT.PROFILE, FT.EXPLAIN, FT.SPELLCHECK and FT.CREATE that nearly fit.
Each has to be answered in time, by a reply or by an error of the command's own: the server must not end, must not hang, and
must not fail inside.

    scripts/fuzz-queries [--inputs 1000000] [--seed N]"""
import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redis  # noqa: E402
from localserver import Progress, our_server  # noqa: E402
from robustness.words import damage  # noqa: E402

#: Milliseconds that a search may take before it gives up, and seconds within which there must be an answer.
TIMEOUT, PATIENCE = 200, 60
#: Inputs between two looks at the server.
LOOK = 1000
N_DOCUMENTS = 300

_WORDS = ["apple", "apples", "run", "running", "the", "a", "house", "ocean", "w0", "w17", "x", "é", "日本", "1", "3.5", "-2",
          "\\$x", "a\\-b"]
_NUMBERS = ["0", "1", "-1", "10", "2.5", "1e3", "inf", "-inf", "+inf", "(1", "(10", "1e400", "nan", "0x10",
            "99999999999999999999"]
_TAGS = ["red", "blue", "red | blue", "light\\ blue", "'q'", "r*", "*d", "*e*", "w'r?d*'", "$w", "\"a b\"", "the", "", "x" * 300]
_FIELDS = ["t", "u", "t|u", "g", "c", "n", "l", "s", "v", "w", "nope", "__key", "d"]
_PARAMS = {"b": bytes(8), "c": b"\0\0\x80\x3f" * 2, "w": b"red", "k": b"3", "r": b"2", "lo": b"1", "hi": b"9", "m": b"km",
           "p": b"POLYGON((0 0,0 9,9 9,9 0,0 0))"}


class Queries:
    """Texts of queries, and commands with them."""

    def __init__(self, r: random.Random):
        self.r = r

    def text(self, depth: int = 0) -> str:
        """A query text."""
        r = self.r
        if depth > 5 or r.random() < 0.35:
            return self.leaf()
        kind = r.randrange(9)
        one, two = self.text(depth + 1), self.text(depth + 1)
        return (f"{one} {two}", f"{one} | {two}", f"({one})", f"-{one}", f"~({one})", f"({one} {two})=>{{{self.attributes()}}}",
                f"@{self.field('tu')}:({one})", f"{one}|{two}|{self.leaf()}", f"-({one} | {two})")[kind]

    def word(self) -> str:
        return self.r.choice(_WORDS)

    def leaf(self) -> str:
        r, word = self.r, self.word()
        a, b = self.bound(), self.bound()
        return r.choice((
            word, word, f"{word} {self.word()}", f'"{word} {self.word()}"', f"{word}*", f"*{word}", f"*{word}*", f"%{word}%",
            f"%%{word}%%",
            f"w'{word[:2]}?*'", f"@{self.field('tu')}:{word}",
            f"@{self.field('gc')}:{{{r.choice(_TAGS)}}}", f"@g:{{{r.choice(_TAGS)}}}", f"@{self.field('n')}:[{a} {b}]",
            f"@n:[{a} {b}]", "@n:[$lo $hi]", f"@n=={a}", f"@n>{a}", f"@n<={b}",
            f"@l:[{a} {b} 100 {r.choice(('km', 'mi', '$m', 'x'))}]",
            f"@s:[{r.choice(('WITHIN', 'CONTAINS', 'INTERSECTS', 'DISJOINT', 'NEAR'))} $p]", f"ismissing(@{self.field('c')})",
            "$w",
            f"@{self.field('vw')}:[VECTOR_RANGE {r.choice(('1', '0.5', '$r', '-1', '1e9'))} ${r.choice('bcw')}]",
            f"@v:[VECTOR_RANGE 2 $b]=>{{$YIELD_DISTANCE_AS: {r.choice(('d', 'e', 'n'))}; $EPSILON: 0.5}}"))

    def attributes(self) -> str:
        r = self.r
        return "; ".join(f"${name}: {r.choice(values)}" for name, values in r.sample((
            ("weight", ("2", "0", "-1", "x")), ("slop", ("1", "-1", "99999")), ("inorder", ("true", "false", "1")),
            ("phonetic", ("true", "false")), ("yield_distance_as", ("d",)), ("nope", ("1",))), r.randrange(3)))

    def query(self) -> str:
        r = self.r
        text = self.text()
        if r.random() < 0.25:
            child = r.choice(("*", f"({text})", f"({text})", text))
            more = r.choice(("", "", " AS d", " EF_RUNTIME 20", " HYBRID_POLICY ADHOC_BF",
                             " HYBRID_POLICY BATCHES BATCH_SIZE 3", " RERANK 5",
                             " SEARCH_WINDOW_SIZE 30", " BATCH_SIZE 0"))
            k = r.choice(("1", "3", "50", "0", "$k", "-1", "9999999999"))
            text = f"{child}=>[KNN {k} @{self.field('vw')} ${r.choice('bc')}{more}]"
            if r.random() < 0.2:
                text += "=>{$YIELD_DISTANCE_AS: e}"
        if r.random() < 0.02:
            n = r.choice((10, 100, 130, 5000))
            text = r.choice(("(", "-", "~", "@t:", "(-")) * n + text + r.choice((")" * n, ""))
        return text

    # ------------------------------------------------------------------------------------------------- options
    def field(self, kinds: str) -> str:
        """A field of one of these names, most of the time."""
        return self.r.choice(kinds) if self.r.random() < 0.9 else self.r.choice(_FIELDS)

    def bound(self) -> str:
        """A number, most of the time."""
        return self.r.choice(("0", "1", "2.5", "7", "100", "-3")) if self.r.random() < 0.8 else self.r.choice(_NUMBERS)

    def some(self, options: list, most: int) -> list[str]:
        words: list[str] = []
        for make in self.r.choices(options, k=self.r.randrange(most + 1)):
            words += make() if callable(make) else make
        return words

    def number(self) -> str:
        return self.r.choice("01237") if self.r.random() < 0.9 else self.r.choice(("-1", "x", "1000000", "99999999999999999999"))

    def fields(self, at: str = "") -> list[str]:
        names = [at + self.r.choice(_FIELDS) for _ in range(self.r.randrange(1, 4))]
        return [str(len(names)) if self.r.random() < 0.9 else self.number(), *names]

    def search_options(self) -> list[str]:
        r = self.r
        return self.some([
            ["NOCONTENT"], ["WITHSCORES"], ["WITHSCORES", "EXPLAINSCORE"], ["WITHSORTKEYS"], ["WITHPAYLOADS"], ["VERBATIM"],
            ["INORDER"],
            ["NOSTOPWORDS"], lambda: ["LIMIT", self.number(), self.number()], lambda: ["SORTBY", r.choice(_FIELDS),
                r.choice(("ASC", "DESC"))],
            lambda: ["RETURN", *self.fields()], lambda: ["SLOP", self.number()], lambda: ["INFIELDS", *self.fields()],
            lambda: ["INKEYS", "2", "d1", "d2"], lambda: ["FILTER", "n", self.bound(), self.bound()],
            lambda: ["GEOFILTER", "l", "1", "1", "500", "km"], lambda: ["LANGUAGE", r.choice(("german", "chinese", "x"))],
            lambda: ["SCORER", r.choice(("TFIDF", "BM25", "BM25STD", "BM25STD.TANH", "BM25STD.NORM", "DISMAX", "DOCSCORE",
                                         "HAMMING", "X"))],
            lambda: ["HIGHLIGHT", "FIELDS", *self.fields()], ["HIGHLIGHT"], ["SUMMARIZE"],
            ["SUMMARIZE", "FRAGS", "2", "LEN", "3"],
            ["EXPANDER", "SBSTEM"], ["PAYLOAD", "x"], ["WITHCOUNT"], ["WITHOUTCOUNT"]], 4)

    def expression(self, depth: int = 0) -> str:
        r = self.r
        if depth > 3 or r.random() < 0.4:
            return r.choice((f"@{r.choice(_FIELDS)}", "@x", "@__score", "1", "2.5", "'text'", "NULL", "matched_terms()"))
        one, two = self.expression(depth + 1), self.expression(depth + 1)
        name = r.choice(("upper", "strlen", "sqrt", "log", "to_number",
                         "to_str", "exists", "year", "timefmt", "abs", "floor", "split", "matched_terms"))
        return r.choice((f"{one} {r.choice(('+', '-', '*', '/', '%', '^', '==', '<', '>=', '&&', '||', '!='))} {two}",
                         f"({one})", f"!{one}",
                         f"{name}({one})", f"format('%s-%s', {one}, {two})", f"case({one}, {two}, 1)", f"substr({one}, 0, 2)",
                         f"geodistance({one}, {two})", f"contains({one}, {two})", f"split({one}, ',')"))

    def reducer(self) -> list[str]:
        r = self.r
        name = r.choice(("COUNT", "SUM", "AVG", "MIN", "MAX", "STDDEV", "QUANTILE", "TOLIST", "FIRST_VALUE", "RANDOM_SAMPLE",
                         "COUNT_DISTINCT",
                         "COUNT_DISTINCTISH", "HLL", "COLLECT"))
        field = f"@{r.choice(_FIELDS)}"
        words = {"COUNT": [], "QUANTILE": [field, r.choice(("0.5", "2"))], "RANDOM_SAMPLE": [field, "3"],
                 "FIRST_VALUE": [field, "BY", f"@{r.choice(_FIELDS)}", "DESC"],
                 "COLLECT": r.choice((["FIELDS", "1", field, "SORTBY", "2", field, "DESC"], ["FIELDS", "*",
                     "DISTINCT"]))}.get(name, [field])
        return ["REDUCE", name, str(len(words)), *words, "AS", r.choice(("x", "y", "n"))]

    def steps(self) -> list[str]:
        r = self.r
        return self.some([
            lambda: ["LOAD", *self.fields("@")], ["LOAD", "*"], lambda: ["APPLY", self.expression(), "AS", r.choice("xyd")],
            lambda: ["FILTER", self.expression()], lambda: ["SORTBY", "2", f"@{r.choice(_FIELDS)}", r.choice(("ASC", "DESC"))],
            lambda: ["LIMIT", self.number(), self.number()],
            lambda: ["GROUPBY", *self.fields("@"), *self.reducer(), *self.reducer()],
            lambda: ["GROUPBY", "0", *self.reducer()], ["TIMEOUT", "50"]], 4)

    def params(self) -> list:
        return ["PARAMS", str(2 * len(_PARAMS)), *(word for pair in _PARAMS.items() for word in pair)]

    def hybrid(self) -> list:
        r = self.r
        words = ["FT.HYBRID", self.index(), *(["2"] if r.random() < 0.2 else []), "SEARCH", self.text(),
                 *self.some([["SCORER", "TFIDF"], ["YIELD_SCORE_AS", "x"]], 1), "VSIM", f"@{self.field('vw')}",
                 f"${r.choice('bc')}"]
        words += r.choice(([], ["KNN", "2", "K", self.number()], ["KNN", "4", "K", "5", "EF_RUNTIME", "9"], ["RANGE", "2",
            "RADIUS", self.bound()]))
        words += r.choice(([], [], ["FILTER", self.text()], ["FILTER", "3", self.text(), "POLICY", "BATCHES"]))
        words += r.choice(([], ["YIELD_SCORE_AS", "y"]))
        words += r.choice(([], ["COMBINE", "RRF", "4", "CONSTANT", self.bound(), "WINDOW", self.number()],
                           ["COMBINE", "LINEAR", "4", "ALPHA", "0.2", "BETA", self.bound()]))
        return [*words, *self.steps(), *self.some([["EXPLAINSCORE"], ["NOSORT"], ["YIELD_SCORE_AS", "z"]], 1), *self.params()]

    def index(self) -> str:
        return self.r.choice(("idx", "idx", "idx", "jdx"))

    def command(self) -> list:
        """One command."""
        r = self.r
        dialect = ["DIALECT", r.choice("11222234")]
        kind = r.randrange(20)
        if kind < 7:
            words = ["FT.SEARCH", self.index(), self.query(), *self.search_options(), *self.params(), *dialect]
        elif kind < 12:
            words = ["FT.AGGREGATE", self.index(), self.query(), *self.steps(), *self.some([["WITHCURSOR", "COUNT", "2"],
                ["ADDSCORES"]], 1), *self.params(), *dialect]
        elif kind < 15:
            words = self.hybrid()
        elif kind == 15:
            words = ["FT.PROFILE", self.index(), "SEARCH", *r.choice(([], ["LIMITED"])), "QUERY", self.query(),
                     *self.search_options(), *self.params(), *dialect]
        elif kind == 16:
            words = ["FT.PROFILE", self.index(), "AGGREGATE", "QUERY", self.query(), *self.steps(), *self.params(), *dialect]
        elif kind == 17:
            words = [r.choice(("FT.EXPLAIN", "FT.EXPLAINCLI")), self.index(), self.query(), *self.params(), *dialect]
        elif kind == 18:
            words = ["FT.SPELLCHECK", self.index(), self.text(), "DISTANCE", r.choice("1234")]
        else:
            words = ["FT.CREATE", f"new{r.randrange(1000)}", *self.some([["ON", "JSON"], ["PREFIX", "1", "zz"], ["FILTER",
                self.expression()], ["NOOFFSETS"], ["STOPWORDS", "0"]], 2),
                     "SCHEMA", *self.some([["a", "TEXT"], ["b", "TAG", "SEPARATOR", ";"], ["c", "NUMERIC", "SORTABLE"], ["e",
                         "VECTOR", "SVS-VAMANA", "6",
                                           "TYPE", "FLOAT32", "DIM", r.choice(("2", "0", "100000000")), "DISTANCE_METRIC",
                                           "IP"], ["l", "GEO"]], 4)]
        if r.random() < 0.1 and len(words) > 3:
            at = r.randrange(2, len(words))
            words[at] = damage(r, words[at].encode() if isinstance(words[at], str) else words[at])
        if r.random() < 0.05:
            del words[r.randrange(2, len(words))]
        return words


def fill(client) -> None:
    """Starts over: an index of hashes and one of JSON documents, with every kind of field."""
    run, r = client.execute_command, random.Random(7)
    run("FLUSHALL")
    for name in run("FT._LIST"):
        run("FT.DROPINDEX", name)
    run("FT.CREATE", "idx", "PREFIX", 1, "d", "SCHEMA", "t", "TEXT", "WITHSUFFIXTRIE", "u", "TEXT", "INDEXEMPTY", "SORTABLE",
        "g", "TAG", "c", "TAG",
        "CASESENSITIVE", "INDEXMISSING", "n", "NUMERIC", "SORTABLE", "l", "GEO", "s", "GEOSHAPE", "FLAT", "v", "VECTOR", "HNSW",
        6, "TYPE",
        "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2", "w", "VECTOR", "SVS-VAMANA", 8, "TYPE", "FLOAT32", "DIM", 2,
        "DISTANCE_METRIC", "COSINE",
        "COMPRESSION", "LVQ8")
    run("FT.CREATE", "jdx", "ON", "JSON", "PREFIX", 1, "j", "SCHEMA", "$.t", "AS", "t", "TEXT", "$.g[*]", "AS", "g", "TAG",
        "$.n", "AS", "n", "NUMERIC",
        "$.v", "AS", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2", "$.u", "AS", "u", "TEXT",
        "$.c", "AS", "c",
        "TAG", "INDEXMISSING", "$.l", "AS", "l", "GEO", "$.s", "AS", "s", "GEOSHAPE", "$.w", "AS", "w", "VECTOR", "HNSW", 6,
        "TYPE", "FLOAT32",
        "DIM", 2, "DISTANCE_METRIC", "L2")
    pipe = client.pipeline(transaction=False)
    for i in range(N_DOCUMENTS):
        words = " ".join(r.choices(_WORDS, k=r.randrange(1, 12)))
        vector = bytes([i % 256, 0, 128, 63, i % 251, 1, 128, 63])
        given = {"t": words, "u": words[::-1], "g": r.choice(("red", "blue", "light blue", "red,blue")), "c": "Red", "n": i / 2,
                 "l": f"{i % 90},{i % 80}",
                 "s": f"POINT({i % 9} {i % 7})", "v": vector, "w": vector}
        pipe.hset(f"d{i}", mapping={name: value for name, value in given.items() if r.random() < 0.9})
        pipe.execute_command("JSON.SET", f"j{i}", "$", '{"t":"%s","g":["a","red"],"n":%d,"v":[%d,1]}' % (words.replace("\\",
            ""), i, i))
    pipe.execute()


def run(n: int, seed: int) -> int:
    """Sends n commands; returns how many were answered with an error."""
    with tempfile.TemporaryDirectory(prefix="vamana-") as directory:
        log = os.path.join(directory, "log")
        with our_server("--logfile", log, "--save", "", "--search-timeout", str(TIMEOUT)) as (port, process):
            clients = [redis.Redis(port=port, protocol=proto, socket_timeout=PATIENCE, retry=None) for proto in (2, 3)]
            queries, progress, n_errors = Queries(random.Random(seed)), Progress("queries", n), 0
            fill(clients[0])
            for i in range(n):
                words = queries.command()
                try:
                    queries.r.choice(clients).execute_command(*words)
                except redis.ResponseError as error:
                    n_errors += 1
                    if "internal error" in str(error):
                        raise SystemExit(f"{error}\nafter {words!r}") from None
                except redis.TimeoutError:
                    raise SystemExit(f"no answer within {PATIENCE} s to {words!r}") from None
                except redis.RedisError as error:
                    end = f"the server's status is {process.poll()}\n{Path(log).read_text()[-4000:]}"
                    raise SystemExit(f"{error!r} after {words!r}; {end}") from None
                if i % LOOK == LOOK - 1:
                    if clients[0].info("stats")["internal_errors"]:
                        raise SystemExit(f"internal errors after {i + 1} commands\n{Path(log).read_text()[-4000:]}")
                    fill(clients[0])
                    progress(i + 1)
    return n_errors


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    n_errors = run(arguments.inputs, arguments.seed)
    took = time.monotonic() - started
    rate = arguments.inputs / took
    print(f"{arguments.inputs:,} commands in {took:.0f} s ({rate:,.0f}/s), {n_errors:,} of them refused, all answered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
