"""Whatever bytes come: a tree or a CommandError, soon."""
import json
import random
import time
from pathlib import Path

import pytest

from commands.ft.binding import bind, check_yields
from commands.ft.create_options import parse_create
from commands.ft.errors import CommandError
from commands.ft.explain import explain
from commands.ft.query import parse_query
from commands.ft.search_options import parse_search

CORPUS = Path(__file__).parents[2] / "corpus"
TEXTS = [json.loads(line)["query"].encode() for name in ("query_texts.jsonl", "query_explain.jsonl")
         for line in (CORPUS / name).read_text().splitlines()]
TEXTS += [b"(@cat:{a})=>{$weight: 2}=>[KNN $k @v $b EF_RUNTIME 20 AS d]=>{$YIELD_DISTANCE_AS: d}",
          b"@v:[VECTOR_RANGE $r $b]=>{$EPSILON: 0.1}",
          b"@s:[WITHIN $w] ismissing(@rank) @loc:[$x 2 3 $u] -\"a $b\" w'$w*' *'x'*"]
PIECES = [b"(", b")", b"{", b"}", b"[", b"]", b"=>", b"=>[KNN 3 @v $b", b"=>{$weight:", b"|", b"-", b"~", b"%", b"*", b'"',
          b"'", b"\\", b"@", b"@cat:{", b"@rank:[", b"$", b"$b", b":", b";", b"==", b"!=", b"<", b"inf", b"the", b"w'",
          b"ismissing(", b" ", b"\0", b"\xff", "é".encode(), b"1e999", b"0x", b"9" * 400]
FIELDS = {spec.name: spec for spec in parse_create(
    b"SCHEMA title TEXT cat TAG rank NUMERIC loc GEO s GEOSHAPE v VECTOR HNSW 6 TYPE FLOAT32 DIM 2 "
    b"DISTANCE_METRIC L2".split()).fields}
PARAMS = {b"b": b"\x00\xff345678", b"k": b"3", b"r": b"1", b"w": b"Word*", b"p": b"", b"x": b"1", b"u": b"km"}


def mutate(text: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randint(1, 4):]
        elif kind == 2:
            other = rng.choice(TEXTS)
            text = text[:at] + other[rng.randint(0, len(other)):]
        elif kind == 3:
            text = text[:at] + bytes([rng.randrange(256)]) + text[at + 1:]
        else:
            part = text[at:at + 12]
            text = text[:at] + part * rng.randint(2, 4) + text[at:]
    return text


@pytest.mark.parametrize("seed", range(8))
def test_mutated_queries(seed):
    rng = random.Random(seed)
    parsed = 0
    for _ in range(1500):
        text = mutate(rng.choice(TEXTS), rng)
        fields = rng.choice((FIELDS, None))
        for dialect in (1, 2):
            try:
                root = bind(parse_query(text, dialect, fields), PARAMS)
                check_yields(root, FIELDS)
                parsed += 1
            except CommandError as error:
                assert error.text.startswith("SEARCH_") and error.text.encode("utf-8", "surrogateescape")
                continue
            explain(root, lambda term: [(b"+" + term.text, term.fields)]).encode("utf-8", "surrogateescape")
    assert parsed > 300


@pytest.mark.parametrize("piece",
                         [*PIECES, b"a ", b"a|", b"(a", b"@cat:{a}", b"'\\", b'"\\"', b"@rank  ", b"=>{$a:1}", b"*\"", b"%a"])
def test_huge_texts_take_linear_time(piece):
    text = piece * (200_000 // len(piece))
    start = time.process_time()
    for dialect in (1, 2):
        try:
            parse_query(text, dialect, FIELDS)
        except CommandError:
            pass
    assert time.process_time() - start < 30


WORDS = (b"SCHEMA ON HASH PREFIX 1 2 a AS TEXT TAG NUMERIC GEO VECTOR FLAT HNSW SVS-VAMANA 6 8 TYPE FLOAT32 DIM "
         b"DISTANCE_METRIC L2 COMPRESSION LVQ8 REDUCE M SORTABLE NOINDEX SEPARATOR , STOPWORDS LIMIT 0 10 SORTBY RETURN PARAMS "
         b"DIALECT FILTER GEOFILTER km SUMMARIZE FIELDS FRAGS HIGHLIGHT TAGS "
         b"TIMEOUT -1 1.5 inf nan x").split() + [b"", b"\0", b"\xff\xfe", b"9" * 400, b"1e999"]


@pytest.mark.parametrize("seed", range(4))
def test_random_words(seed):
    rng = random.Random(seed)
    for _ in range(5000):
        words = [rng.choice(WORDS) for _ in range(rng.randint(0, 16))]
        for parse in (lambda words: parse_create([*words[:3], b"SCHEMA", *words[3:]]), parse_search):
            try:
                parse(words)
            except CommandError:
                pass
