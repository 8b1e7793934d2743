"""What rows show and in which order, of FT.SEARCH and FT.AGGREGATE, over both protocols."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from samples import text  # noqa: E402
from test_aggregate import aggregate  # noqa: E402


def hits(reply):
    """[(key, {field: text})] of a reply of FT.SEARCH, either protocol."""
    if isinstance(reply, dict):
        reply = {text(key): value for key, value in reply.items()}
        found = [{text(key): value for key, value in row.items()} for row in reply["results"]]
        pairs = [(row["id"], row.get("extra_attributes", {}).items()) for row in found]
    else:
        pairs = [(key, zip(row[::2], row[1::2])) for key, row in zip(reply[1::2], reply[2::2])]
    return [(text(key), {text(name): text(value) for name, value in row}) for key, row in pairs]


@pytest.fixture
def papers(both):
    both.execute_command("FT.CREATE", "idx", "SCORE_FIELD", "sc", "LANGUAGE_FIELD", "la", "PAYLOAD_FIELD", "pl", "SCHEMA",
                         "t", "TEXT", "g", "TAG", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2, "DISTANCE_METRIC", "L2")
    for i, words in enumerate(("red apples", "apples and more apples", "Apple pie", "pie")):
        both.hset(f"d{i}", mapping={"t": words, "g": f"g{i % 2}", "v": np.array([i, 0], np.float32).tobytes(), "sc": 1,
                                    "la": "english", "pl": "p"})
    return both


def test_the_key_is_a_field(papers):
    reply = papers.execute_command("FT.SEARCH", "idx", "red", "RETURN", 3, "__key", "AS", "k")
    assert hits(reply) == [("d0", {"k": "d0"})]
    blob = np.zeros(2, np.float32).tobytes()
    reply = papers.execute_command("FT.SEARCH", "idx", "*=>[KNN 1 @v $b]", "RETURN", 2, "__key", "t", "PARAMS", 2, "b", blob,
                                   "DIALECT", 2)
    assert hits(reply) == [("d0", {"__key": "d0", "t": "red apples"})]


def test_fields_about_the_document_are_not_shown(papers):
    (_, row), = hits(papers.execute_command("FT.SEARCH", "idx", "red", "RETURN", 5, "t", "sc", "la", "pl", "g"))
    assert row == {"t": "red apples", "g": "g0"}
    rows = aggregate(papers, "LOAD", 3, "@sc", "@pl", "@t", "APPLY", "@sc + 1", "AS", "more", query="red")
    assert rows == [{"t": "red apples", "more": "2"}]


def test_knn_among_words_comes_in_the_order_of_their_scores(papers):
    blob = np.zeros(2, np.float32).tobytes()
    words = ("FT.SEARCH", "idx", "@t:(apples | pie)=>[KNN 4 @v $b]", "RETURN", 1, "g", "PARAMS", 2, "b", blob, "DIALECT", 2)
    plain = [key for key, _ in hits(papers.execute_command(*words))]
    scored = papers.execute_command(*words, "WITHSCORES")
    scored = [text(row[b"id"]) for row in scored[b"results"]] if isinstance(scored, dict) else list(map(text, scored[1::3]))
    assert plain == scored != sorted(plain)


def test_matched_terms(papers):
    def terms(query, *words):
        return [row["m"] for row in aggregate(papers, "APPLY", *words, "AS", "m", query=query)]
    assert terms("apples pie", "matched_terms()") == [["pie"]]          # stems are not shown
    assert terms("red apples", "matched_terms(1)") == [["red"]]
    assert terms("(red apples)|@g:{g9}", "matched_terms()") == [["red", "apples"]]
    assert terms("*", "matched_terms()") == [None] * 4
    assert terms("red", "matched_terms(0)") == [None]
    rows = aggregate(papers, "GROUPBY", 1, "@g", "APPLY", "matched_terms()", "AS", "m", query="red")
    assert rows == [{"g": "g0", "m": None}]


def test_optional_words_in_order(papers):
    papers.hset("d9", mapping={"g": "g9"})
    def found(query, *words):
        return sorted(key for key, _ in hits(papers.execute_command("FT.SEARCH", "idx", query, "RETURN", 1, "g", *words)))
    assert found("~red ~apples", "INORDER") == found("~apples ~red") == ["d0", "d1", "d2", "d3", "d9"]
    assert "d0" not in found("~apples ~red", "INORDER") and "d0" in found("~red ~apples", "SLOP", 0)
    assert found("apples ~pie", "SLOP", 0) == ["d0", "d1", "d2"]
