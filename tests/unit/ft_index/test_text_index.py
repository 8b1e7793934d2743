"""The full-text index against plain Python."""
import random
import re
from types import SimpleNamespace

import numpy as np
import pytest

from commands.ft.create_options import CreateOptions, TextSpec
from commands.ft.index import Index
from commands.ft.matches import row_array
from commands.ft.plan import Evaluation
from commands.ft.query import parse_query
from commands.ft.score import Scorer, probabilistic_idf, whole_idf
from commands.ft.search_options import SearchOptions
from commands.ft.text import language
from commands.ft.text.places import _ordered, _unordered, spread
from commands.ft.text.terms import Terms, first
from commands.ft.text.words import spans, split

CONFIG = {"search-min-prefix": 2, "search-max-prefix-expansions": 200, "search-min-stem-len": 4, "search-multi-text-slop": 100,
          "search-bm25std-tanh-factor": 4, "search-_prioritize-intersect-union-children": False}


class Document(dict):
    """As much of a hash as an index asks for."""

    def previous(self, path):
        return None


def text_index(*names, **options):
    options.setdefault("fields", [TextSpec(path=name, name=name) for name in names])
    return Index(b"idx", CreateOptions(**options), CONFIG)


def put(index, key, **fields):
    index.put(key, Document({name.encode(): value if isinstance(value, bytes) else value.encode()
                             for name, value in fields.items()}))


def found(index, query, dialect=2, **options):
    root = parse_query(query.encode(), dialect, index.schema).root
    rows = Evaluation(index, CONFIG, 0, SearchOptions(**options)).rows(root)
    return sorted(index.docs.keys[row] for row in rows)


def test_words():
    assert split(b"Hello, World! don't foo_bar  e-mail@x.org") == b"hello world don t foo_bar e mail x org".split()
    assert split(rb"hello\-world a\\b c\d") == [b"hello-world", rb"a\b", rb"c\d"]
    assert split("ÜNÏ мир".encode()) == ["ünï".encode(), "мир".encode()]
    assert split(b"a\x01b\x00c") == [b"ab"]
    assert split(b"") == split(b" .,;") == []
    assert split(b"bad\xffbytes") == [b"bad\xffbytes"]
    assert list(spans(rb"The Quick-brown f\-x", {b"the"})) == [(b"quick", 4, 9), (b"brown", 10, 15), (b"f-x", 16, 20)]


def test_stems_and_sounds():
    assert language.stem(b"running", "english") == b"run"
    assert language.stem("läuft".encode(), "german") == b"lauft"
    assert language.stem(b"running", "chinese") == b"running"
    assert language.stem(b"\xff\xff", "english") == b"\xff\xff"
    assert language.sound(b"smith") == language.sound(b"smyth") != b""
    assert language.sound(b"4711") == b""


def test_terms_like_a_pattern():
    terms = Terms()
    rng = random.Random(2)
    names = {bytes(rng.choice(b"abc") for _ in range(rng.randint(1, 7))) for _ in range(900)}
    for name in sorted(names, key=lambda _: rng.random()):
        number = terms.add(name)
        assert terms.get(name) == number and terms.name(number) == name
        if rng.random() < 0.02:                 # ask now and then: new terms are sorted in later
            assert list(terms.with_prefix(b"ab")) == sorted(one for one in terms._names if one.startswith(b"ab"))
    assert list(terms.with_suffix(b"ca")) == sorted(name for name in names if name.endswith(b"ca"))
    assert list(terms.with_infix(b"bb")) == sorted(name for name in names if b"bb" in name)
    assert list(terms.matching(b"a?b*")) == sorted(name for name in names if re.fullmatch(rb"a.b.*", name))
    for word in (b"abc", b"ccc", b"a", b"abcabca", b"x"):
        for distance in (1, 2, 3):
            truth = sorted(name for name in names if levenshtein(name, word) <= distance or swapped(name, word, distance))
            assert terms.near(word, distance, 10_000) == truth
    assert first(iter([b"a", b"b"]), 1) == ([b"a"], True)


def swapped(one, other, distance):
    return len(one) > 1 and one[-1] != one[-2] and one[-2:][::-1] == other[-2:] and levenshtein(one[:-2], other[:-2]) < distance


def levenshtein(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


WORDS = "apple banana cherry dates elder fig grape".split()


def test_queries_under_random_changes():
    """Terms, phrases, fields, unions, negation and optional parts against a naive evaluator,
    while documents come, change and go."""
    rng = random.Random(5)
    index, truth = text_index(b"t", b"u"), {}
    for step in range(1500):
        key = b"d%d" % rng.randrange(60)
        if rng.random() < 0.25:
            index.remove(key)
            truth.pop(key, None)
        else:
            fields = {name: rng.choices(WORDS, k=rng.randrange(6)) for name in "tu" if rng.random() < 0.8}
            index.remove(key)
            put(index, key, **{name: " ".join(words) for name, words in fields.items()})
            truth[key] = {name.encode(): words for name, words in fields.items()}
        if step % 300 == 299:
            index.collect()
        if step % 25:
            continue
        a, b, c = rng.sample(WORDS, 3)

        def has(document, word, names=(b"t", b"u")):
            return any(word in document.get(name, ()) for name in names)

        def follows(document):
            words = [*document.get(b"t", ()), *document.get(b"u", ())]
            return any(words[i:i + 2] == [a, b] for i in range(len(words)))

        for query, fits in (
                (a, lambda d: has(d, a)), (f"@t:{a}", lambda d: has(d, a, (b"t",))),
                (f"{a} {b}", lambda d: has(d, a) and has(d, b)),
                (f"({a}|{b}) -{c}", lambda d: (has(d, a) or has(d, b)) and not has(d, c)), (f"~{a}", lambda d: True),
                (f"{a} ~{b}", lambda d: has(d, a)), (f'"{a} {b}"', follows),
                (f"@u:({a} -{b})", lambda d: has(d, a, (b"u",)) and not has(d, b, (b"u",))),
                (f"{a[:3]}*", lambda d: has(d, a)), (f"*{a[-3:]}", lambda d: has(d, a)), (f"%{a[1:]}%", lambda d: has(d, a))):
            assert found(index, query, verbatim=True) == sorted(key for key, document in truth.items() if fits(document)), query
    live = sum(any(words for words in document.values()) for document in truth.values())
    assert index.text.n_docs >= live and index.text.nbytes > 0


def test_slop_and_order_against_all_choices():
    rng = random.Random(7)
    for _ in range(3000):
        n = rng.randint(2, 4)
        positions = rng.sample(range(12), k=12)
        lists = [sorted(positions[i * 3:i * 3 + rng.randint(1, 3)]) for i in range(n)]
        slop = rng.randrange(6)
        choices = [[]]
        for one in lists:
            choices = [[*chosen, position] for chosen in choices for position in one]
        unordered = any(max(chosen) - min(chosen) - (n - 1) <= slop for chosen in choices)
        assert _unordered(lists, slop) == unordered
        ordered = any(chosen == sorted(chosen) and chosen[-1] - chosen[0] - (n - 1) <= slop for chosen in choices)
        if _ordered(lists, slop):
            assert ordered
        assert spread(lists, n) >= 1
    assert spread([[3, 9]], 2) == 1 and spread([[3], []], 4) == 3 and spread([[3], [8]], 2) == 5


def test_expansions():
    index = text_index(b"t")
    put(index, b"a", t="running shoes")
    put(index, b"b", t="he runs")
    put(index, b"c", t="run")
    assert found(index, "run") == [b"a", b"b", b"c"]
    assert found(index, "runs", verbatim=True) == found(index, '"runs"') == [b"b"]
    assert found(index, "runs", expander=b"nothing") == [b"b"]
    plain = text_index(fields=[TextSpec(path=b"t", name=b"t", no_stem=True)])
    put(plain, b"a", t="running")
    assert found(plain, "run") == []
    sounds = text_index(fields=[TextSpec(path=b"t", name=b"t", phonetic="dm:en")])
    put(sounds, b"a", t="smith")
    assert found(sounds, "smyth") == [b"a"] and found(sounds, "@t:(smyth)=>{$phonetic:false}") == []


@pytest.mark.parametrize("options, query, keys", [
    ({"no_fields": True}, "@u:apple", [b"a", b"b"]), ({"no_offsets": True}, '"apple pie"', []), ({}, '"apple pie"', [b"a"]),
    ({"stopwords": (b"apple",)}, "apple", []), ({"language": "german"}, "kindern", []), ({}, "the", [])])
def test_index_options(options, query, keys):
    index = text_index(b"t", b"u", **options)
    put(index, b"a", t="the apple pie")
    put(index, b"b", u="apple")
    assert found(index, query) == keys


def test_languages_by_field():
    index = text_index(b"t", language_field=b"lang", language="english")
    put(index, b"a", t="casas", lang="spanish")
    put(index, b"b", t="flies", lang="bogus")
    assert found(index, "casa", language="spanish") == [b"a"]
    assert found(index, "fly") == [b"b"]


def test_scores_by_their_formulas():
    index = text_index(fields=[TextSpec(path=b"t", name=b"t", weight=2.0), TextSpec(path=b"u", name=b"u")])
    put(index, b"a", t="apple apple pear", u="apple fig")
    put(index, b"b", t="pear", u="apple fig fig")
    put(index, b"c", t="plum")
    match = Evaluation(index, CONFIG, 0, SearchOptions(verbatim=True)).match(parse_query(b"apple", 2, index.schema).root)
    rows = row_array(match.rows)
    freqs, lengths, mean, n = np.array([5.0, 1.0]), np.array([8.0, 5.0]), 15 / 3, 2
    idf = probabilistic_idf(3, n)
    truth = {"BM25STD": idf * freqs * 2.2 / (freqs + 1.2 * (0.25 + 0.75 * lengths / mean)), "DISMAX": freqs,
             "DOCSCORE": np.ones(2), "TFIDF": freqs * whole_idf(3, n) / np.array([5, 2]),
             "TFIDF.DOCNORM": freqs * whole_idf(3, n) / lengths,
             "BM25": whole_idf(3, n) * freqs / (freqs + 1.2 * (0.5 + 0.5 * mean)), "HAMMING": np.zeros(2)}
    truth["BM25STD.TANH"] = np.tanh(truth["BM25STD"] / 4)
    truth["BM25STD.NORM"] = truth["BM25STD"] / truth["BM25STD"].max()
    for name, expected in truth.items():
        assert np.allclose(Scorer(index, name).scores(match, rows), expected), name


def test_whole_idf_counts_one_document_more():
    assert [whole_idf(2, 1), whole_idf(2, 2), whole_idf(3, 2), whole_idf(0, 1), whole_idf(1000, 1)] == [2, 1, 1, 1, 9]


def test_scores_of_alternatives_count_where_they_match():
    index = text_index(b"t")
    put(index, b"a", t="apple pear")
    put(index, b"b", t="apple plum")
    options = SearchOptions(verbatim=True)
    score = {}
    for query in (b"(apple pear)|plum", b"apple pear", b"plum"):
        match = Evaluation(index, CONFIG, 0, options).match(parse_query(query, 2, index.schema).root)
        rows = row_array(match.rows)
        score[query] = dict(zip(rows.tolist(), Scorer(index, None).scores(match, rows).tolist()))
    assert score[b"(apple pear)|plum"] == {0: score[b"apple pear"][0], 1: score[b"plum"][1]}


def test_many_sets_of_fields():
    index = text_index(*[b"f%d" % i for i in range(40)])
    for i in range(40):
        index.put(b"d%d" % i, Document({b"f%d" % i: b"word", b"f0": b"other"}))
    assert found(index, "@f39:word") == [b"d39"] and len(found(index, "word")) == 39
    assert len(found(index, "@f0|f1:(other|word)")) == 40


def test_freed():
    index = text_index(b"t")
    put(index, b"a", t="some words")
    index.close()
    for _ in index.release():
        pass
    assert SimpleNamespace(text=index.text).text.postings == []
