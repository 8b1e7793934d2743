"""The short way for searches by words finds what the general way finds."""
import random
from types import SimpleNamespace

import pytest

from commands.ft.create_options import CreateOptions, NumericSpec, TagSpec, TextSpec
from commands.ft.index import Index
from commands.ft.matches import row_array
from commands.ft.plan import Evaluation
from commands.ft.query import parse_query
from commands.ft.score import Scorer
from commands.ft.search import _top
from commands.ft.search_options import SearchOptions
from commands.ft.text.hot import HotText
from test_text_index import CONFIG, Document

WORDS = "run running runner runs jump jumps jumping fox foxes happy happily apple apples banana".split()
SERVER = SimpleNamespace(config=CONFIG)


def general(index, root, options):
    match = Evaluation(index, CONFIG, 0, options).match(root)
    rows = row_array(match.rows)
    scores = Scorer(index, None).scores(match, rows)
    best = _top(index.docs, rows, -scores, options.offset + options.count, True)
    score_of = dict(zip(rows.tolist(), scores.tolist()))
    return [(row, pytest.approx(score_of[row], rel=1e-9, abs=1e-12)) for row in best.tolist()], len(rows)


def put(index, rng, i):
    fields = {b"g": rng.choice([b"x", b"y", b"x,y"]), b"n": b"%d" % rng.randrange(50)}
    for name in (b"t", b"u"):
        if rng.random() < 0.8:
            fields[name] = " ".join(rng.choices(WORDS, k=rng.randrange(9))).encode()
    index.put(b"d%d" % i, Document(fields))


def queries(rng):
    a, b, c = rng.sample(WORDS, 3)
    return [a, f"{a} {b}", f"{a} {b} {c}", f"{a}|{b}", f"@t:({a}|{b}) @u:{c}", f'"{a} {b}"', f'@t:"{a} {b}" {c}', f"{a} -{b}", f"{a} ~{b}", f"~{a} {b}", f"{a[:2]}*",
            f"%{a}% {b}", f"{a} @g:{{x}}", f"{a} @g:{{x|y}}=>{{$weight:3}}", f"{a} @n:[10 30]", f"{a} -@g:{{x}}", f"{a} -({b} {c})", f"({a}=>{{$weight:2}} {b})=>{{$weight:0.5}}",
            f"@t:{a} (@g:{{y}}|{b})", f"{a} @n:[10 30] -{b} ~{c}", f"w'?{a[1:]}*' {b}", f"*{a[-2:]} -{b[:3]}*", f"@u|t:({a} {b})", f"nothing {a}", f"{a} nothing|{b}"]


@pytest.mark.parametrize("limit", [(0, 3), (0, 1000), (5, 7)])
def test_the_same_as_the_general_way(limit):
    rng = random.Random(limit[1])
    fields = [TextSpec(path=b"t", name=b"t", weight=2.0), TextSpec(path=b"u", name=b"u"), TagSpec(path=b"g", name=b"g"), NumericSpec(path=b"n", name=b"n")]
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
    assert n_hot > 200


def test_what_goes_the_general_way():
    index = Index(b"idx", CreateOptions(fields=[TextSpec(path=b"t", name=b"t"), TagSpec(path=b"g", name=b"g")]), CONFIG)

    def is_hot(query, **options):
        return HotText.of(SERVER, index, parse_query(query.encode(), 2, index.schema).root, SearchOptions(**options)) is not None

    assert is_hot("a1 b1") and is_hot("a1 -b1") and is_hot("a1 @g:{x}")
    for query in ("*", "-a1", "~a1", "@g:{x}", "(a1 b1)=>{$slop:1}", "a1|(b1 c1)", "a1|b1*"):
        assert not is_hot(query), query
    for options in ({"slop": 1}, {"in_order": True}, {"scorer": "TFIDF"}, {"sort_by": b"t"}, {"explain_score": True}, {"count": 100_000}):
        assert not is_hot("a1", **options), options


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
