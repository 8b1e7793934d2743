"""The short way for searches by words finds what the general way finds."""
import random
from types import SimpleNamespace

import pytest

import native
from commands.ft.create_options import CreateOptions, NumericSpec, TagSpec, TextSpec, VectorSpec
from commands.ft.index import Index
from commands.ft.matches import row_array
from commands.ft.plan import Evaluation
from commands.ft.query import parse_query
from commands.ft.score import Scorer
from commands.ft.search import _sorted, top_rows
from commands.ft.search_options import SearchOptions
from commands.ft.text.hot import HotText
from commands.ft.text.steps import QuerySteps
from test_text_index import CONFIG, Document

WORDS = "run running runner runs jump jumps jumping fox foxes happy happily apple apples banana".split()
SERVER = SimpleNamespace(config=CONFIG)


def general(index, root, options):
    match = Evaluation(index, CONFIG, 0, options).match(root)
    rows = row_array(match.rows)
    scores = Scorer(index, None).scores(match, rows)
    best = top_rows(index.docs, rows, -scores, options.offset + options.count, True)
    score_of = dict(zip(rows.tolist(), scores.tolist()))
    return [(row, pytest.approx(score_of[row], rel=1e-9, abs=1e-12)) for row in best.tolist()], len(rows)


def put(index, rng, i):
    fields = {b"g": rng.choice([b"x", b"y", b"x,y"]), b"n": b"%d" % rng.randrange(50)}
    for name in (b"t", b"u"):
        if rng.random() < 0.8:
            fields[name] = " ".join(rng.choices(WORDS, k=rng.randrange(9)) + ["zebra"] * (rng.random() < 0.02)).encode()
    index.put(b"d%d" % i, Document(fields))


def queries(rng):
    a, b, c = rng.sample(WORDS, 3)
    return [a, f"{a} {b}", f"{a} {b} {c}", f"{a}|{b}", f"@t:({a}|{b}) @u:{c}", f'"{a} {b}"', f'@t:"{a} {b}" {c}', f"{a} -{b}",
            f"{a} ~{b}", f"~{a} {b}", f"{a[:2]}*", f"%{a}% {b}", f"{a} @g:{{x}}", f"{a} @g:{{x|y}}=>{{$weight:3}}",
            f"{a} @n:[10 30]", f"{a} -@g:{{x}}", f"{a} -({b} {c})", f"({a}=>{{$weight:2}} {b})=>{{$weight:0.5}}",
            f"@t:{a} (@g:{{y}}|{b})", f"{a} @n:[10 30] -{b} ~{c}", f"w'?{a[1:]}*' {b}", f"*{a[-2:]} -{b[:3]}*",
            f"@u|t:({a} {b})", f"nothing {a}", f"{a} nothing|{b}", "*", "@g:{x}", "@g:{x|y}",
            "@g:{x|z}=>{$weight:2}", "@n:[10 30]", "@g:{x} @n:[10 (30]", "@g:{z}", "@g:{y} -@n:[3 7]", f"@n:[10 30] ~{a}",
            "@g:{x}|@g:{y}", f"@g:{{x}}|{a}", f"zebra {a}", f"zebra @t:{a} ~{b}", f"zebra -{a}", f"zebra @g:{{x}} -{b}",
            f"zebra -@g:{{x}} ({a}|{b})", "zebra ~@g:{y}", f"zebra ({a}|{a[:2]}*)", f"@u:zebra {b[:2]}*"]


@pytest.mark.parametrize("limit", [(0, 3), (0, 1000), (5, 7)])
def test_the_same_as_the_general_way(limit):
    rng = random.Random(limit[1])
    fields = [TextSpec(path=b"t", name=b"t", weight=2.0), TextSpec(path=b"u", name=b"u"), TagSpec(path=b"g", name=b"g"),
              NumericSpec(path=b"n", name=b"n")]
    index = Index(b"idx", CreateOptions(fields=fields), CONFIG)
    n_hot = 0
    for step in range(12):
        for _ in range(30):
            i = rng.randrange(200)
            if rng.random() < 0.2:
                index.remove(b"d%d" % i)
            else:
                put(index, rng, i)
        if step == 6:
            index.collect()
        for query in queries(rng):
            root = parse_query(query.encode(), 2, index.schema).root
            options = SearchOptions(offset=limit[0], count=limit[1])
            hot = HotText.of(SERVER, index, root, options)
            if hot is None:
                continue
            n_hot += 1
            for _ in range(2):
                rows, scores, total, _ = hot.top()
                assert (list(zip(rows, scores)), total) == general(index, root, options), query
            every = index.docs.in_order(row_array(Evaluation(index, CONFIG, 0, options).match(root).rows))
            assert native.rows_of(QuerySteps.of(SERVER, index, root, options).rows(0)).tolist() == every.tolist(), query
    assert n_hot > 200


@pytest.mark.parametrize("has_text", [True, False])
def test_sorted_by_a_number(has_text):
    rng = random.Random(1)
    fields = [TagSpec(path=b"g", name=b"g"), NumericSpec(path=b"n", name=b"n"), NumericSpec(path=b"m", name=b"m", sortable=True)]
    index = Index(b"idx", CreateOptions(fields=fields + ([TextSpec(path=b"t", name=b"t")] if has_text else [])), CONFIG)
    for i in range(500):
        m = {b"m": rng.choice([b"1", b"-0", b"0", b"2.5", b"inf", b"-inf", b"7"])} if rng.random() < 0.8 else {}
        index.put(b"d%d" % rng.randrange(300),
                  Document({b"g": rng.choice([b"x", b"y"]), b"n": b"%d" % rng.randrange(50), b"t": b"a1"} | m))
    for query in ("*", "@g:{x}", "@n:[10 30] @g:{x|y}", "@n:[10 30] -@g:{x}", "@n:[99 100]", "@m:[-inf (7]",
                  *(["a1 @g:{x}"] if has_text else [])):
        for name, ascending, offset in ((b"n", True, 0), (b"n", False, 3), (b"m", True, 5), (b"m", False, 0)):
            root = parse_query(query.encode(), 2, index.schema).root
            options = SearchOptions(offset=offset, count=150, sort_by=name, ascending=ascending)
            rows = row_array(Evaluation(index, CONFIG, 0, options).match(root).rows)
            found, _, total, _ = HotText.of(SERVER, index, root, options).top()
            assert found == _sorted(None, index, options, rows, {}, offset + 150)[0].tolist() and total == len(rows), query


def test_what_goes_the_general_way():
    index = Index(b"idx", CreateOptions(fields=[TextSpec(path=b"t", name=b"t"), TagSpec(path=b"g", name=b"g")]), CONFIG)

    def is_hot(query, **options):
        return HotText.of(SERVER, index, parse_query(query.encode(), 2, index.schema).root, SearchOptions(**options)) is not None

    assert is_hot("a1 b1") and is_hot("a1 -b1") and is_hot("a1 @g:{x}")
    assert is_hot("*") and is_hot("@g:{x}")
    for query in ("-a1", "~a1", "(a1 b1)=>{$slop:1}", "a1|(b1 c1)", "a1|b1*"):
        assert not is_hot(query), query
    for options in ({"slop": 1}, {"in_order": True}, {"scorer": "TFIDF"}, {"sort_by": b"t"}, {"explain_score": True},
                    {"count": 100_000}):
        assert not is_hot("a1", **options), options


def test_changes_of_vectors_leave_what_is_ready():
    fields = [TextSpec(path=b"t", name=b"t"),
              VectorSpec(path=b"v", name=b"v", algorithm="FLAT", dtype="FLOAT32", dim=1, metric="L2")]
    index = Index(b"idx", CreateOptions(fields=fields), CONFIG | {"search-partial-indexed-docs": False})
    values = [Document({b"t": b"word", b"v": bytes(4)}) for _ in range(3)]
    for i, value in enumerate(values):
        index.put(b"%d" % i, value)
    hot = HotText.of(SERVER, index, parse_query(b"word", 2, index.schema).root, SearchOptions())
    assert hot.top()[0] == [0, 1, 2]
    before = index.revision, index.plain_revision
    values[0][b"v"] = b"\0\0\x80\x3f"
    index.put(b"0", values[0], changed={b"v": bytes(4)})
    assert (index.revision, index.plain_revision) == (before[0] + 1, before[1])
    assert hot.top()[0] == [1, 2, 0]                    # it is the latest now
    values[1][b"t"] = b"other"
    index.put(b"1", values[1], changed={b"t": b"word"})
    assert index.plain_revision == before[1] + 1 and hot.top()[0] == [2, 0]
    index.close()


def test_empty_and_gone():
    index = Index(b"idx", CreateOptions(fields=[TextSpec(path=b"t", name=b"t")]), CONFIG)
    hot = HotText.of(SERVER, index, parse_query(b"word", 2, index.schema).root, SearchOptions())
    assert hot.top() == ([], [], 0, [])
    index.put(b"a", Document({b"t": b"word"}))
    assert hot.top()[0] == [0]
    index.remove(b"a")
    assert hot.top()[2] == 0
    for i in range(300):
        index.put(b"b%d" % i, Document({b"t": b"word " * (i % 7)}))
    rows, scores, total, _ = hot.top()
    assert total == 300 - len(range(0, 300, 7)) and scores == sorted(scores, reverse=True) and len(rows) == 10
