"""TAG and NUMERIC fields against plain Python."""
import random

import pytest

from commands.ft.create_options import NumericSpec, TagSpec
from commands.ft.documents import DocumentTable
from commands.ft.fields import FieldError, NumericField, TagField


def tag_field(**options):
    return TagField(TagSpec(path=b"g", name=b"g", **options))


def put(field, row, raw):
    field.put(row, field.parse(raw))


def test_tags_are_split_trimmed_and_folded():
    field = tag_field()
    put(field, 3, b" Red, blue;Green ,, red")
    assert sorted(field.postings) == [b"blue;green", b"red"]
    assert list(field.rows_of(b"red")) == [3]
    put(field, 3, b"x")
    assert sorted(field.postings) == [b"x"]
    field.clear(3)
    assert not field.postings and field.n_values == 0


def test_case_separator_and_empty():
    field = tag_field(case_sensitive=True, separator=b";", index_empty=True)
    put(field, 0, "É;é;a,B".encode())
    put(field, 1, b"")
    assert sorted(field.postings) == [b"", b"a,B", "É".encode(), "é".encode()]
    assert list(field.rows_of(b"")) == [1]


def test_affixes_and_patterns():
    field = tag_field()
    for row, tag in enumerate([b"apple", b"apply", b"maple", b"people", b"a*b", b"axb"]):
        put(field, row, tag)
    assert list(field.with_prefix(b"appl")) == [b"apple", b"apply"]
    assert list(field.with_suffix(b"ple")) == [b"apple", b"maple", b"people"]
    assert list(field.with_infix(b"pl")) == [b"apple", b"apply", b"maple", b"people"]
    assert list(field.matching(b"?a?l*")) == [b"maple"]
    assert list(field.matching(b"a?b")) == [b"a*b", b"axb"]
    assert list(field.matching(b"a\\*b")) == [b"a*b"]
    assert list(field.matching(b"*p?e*")) == [b"apple", b"maple", b"people"]


def test_tags_under_random_changes():
    rng = random.Random(1)
    field, truth = tag_field(), {}
    for _ in range(3000):
        row = rng.randrange(60)
        if rng.random() < 0.3:
            field.clear(row)
            truth.pop(row, None)
        else:
            tags = {b"t%d" % rng.randrange(40) for _ in range(rng.randrange(4))}
            put(field, row, b",".join(tags))
            truth[row] = tags
    for tag in {tag for tags in truth.values() for tag in tags}:
        assert set(field.rows_of(tag)) == {row for row, tags in truth.items() if tag in tags}
    assert field.n_values == len(truth)
    assert field.nbytes > 0


@pytest.mark.parametrize("raw", [b"abc", b"", b" 5 ", b"5 ", b"1,2", b"nan", b"0x10", b"1_000", b"-", "٣".encode()])
def test_bad_numbers(raw):
    with pytest.raises(FieldError, match="Invalid numeric value"):
        NumericField(NumericSpec(path=b"n", name=b"n")).parse(raw)


@pytest.mark.parametrize("raw, value",
                         [(b"1e400", float("inf")), (b"+3", 3), (b"1e3", 1000), (b".5", 0.5), (b"-inf", float("-inf"))])
def test_good_numbers(raw, value):
    assert NumericField(NumericSpec(path=b"n", name=b"n")).parse(raw) == value


def test_ranges_under_random_changes():
    rng = random.Random(2)
    field, truth = NumericField(NumericSpec(path=b"n", name=b"n")), {}
    inf = float("inf")
    for step in range(30000):
        row = rng.randrange(9000)
        if rng.random() < 0.2:
            field.clear(row)
            truth.pop(row, None)
        else:
            value = rng.choice([float(rng.randrange(50)), inf, -inf, rng.random()])
            field.put(row, value)
            truth[row] = value
        if step % 1000 == 0:
            low, high = sorted((float(rng.randrange(-2, 52)), float(rng.randrange(-2, 52))))
            low, high = rng.choice([(low, high), (-inf, high), (low, inf), (low, low)])
            for low_in in (True, False):
                for high_in in (True, False):
                    found = field.rows_between(low, high, low_in, high_in).tolist()
                    assert len(found) == len(set(found))
                    assert set(found) == {row for row, v in truth.items()
                                          if (v >= low if low_in else v > low) and (v <= high if high_in else v < high)}
    assert field.n_values == len(truth)


def test_documents():
    docs = DocumentTable()
    assert [docs.add(b"k%d" % i, i) for i in range(100)] == list(range(100))
    assert docs.drop(b"k7") == 7 and docs.drop(b"k7") is None
    assert docs.add(b"new", "v") == 7                # rows are reused, doc ids are not
    assert docs.doc_ids[7] == 101 == docs.max_doc_id
    docs.renew(3, "w")
    assert docs.doc_ids[3] == 102 and docs.born[3] == 4
    assert docs.values[3] == "w" and docs.values[7] == "v"
    docs.rename(b"k3", b"other")
    assert docs.row_of.get(b"other") == 3 and docs.keys[3] == b"other" and docs.names[3] == b"$5\r\nother\r\n"
    assert len(docs) == 100 == len(docs.live)
    assert docs.nbytes > 0
