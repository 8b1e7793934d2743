"""FT.AGGREGATE .. WITHCURSOR and FT.CURSOR."""
import sys
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).parent))

from helpers import wait_until  # noqa: E402
from samples import info, text  # noqa: E402
from test_aggregate import rows_of  # noqa: E402


@pytest.fixture
def numbers(both):
    """n:0 .. n:23 with n."""
    both.execute_command("FT.CREATE", "idx", "PREFIX", 1, "n:", "SCHEMA", "n", "NUMERIC", "SORTABLE")
    for i in range(24):
        both.hset(f"n:{i}", "n", i)
    return both


def first(client, *words):
    """(numbers of the rows, cursor id)"""
    return _shown(client.execute_command("FT.AGGREGATE", "idx", "*", "LOAD", 1, "@n", *words))


def read(client, cursor, *words):
    return _shown(client.execute_command("FT.CURSOR", "READ", "idx", cursor, *words))


def _shown(reply):
    return [int(row["n"]) for row in rows_of(reply[0])[1]], reply[1]


def _open(client):
    """How many cursors FT.INFO counts for the index."""
    stats = info(client)["cursor_stats"]
    pairs = stats.items() if isinstance(stats, dict) else zip(stats[::2], stats[1::2])
    return {text(name): value for name, value in pairs}["index_total"]


def refusal(client, *words):
    with pytest.raises(redis.ResponseError) as caught:
        client.execute_command(*words)
    return str(caught.value)


def test_reads_to_the_end(numbers):
    rows, cursor = first(numbers, "WITHCURSOR", "COUNT", 5)
    assert rows == [0, 1, 2, 3, 4] and cursor
    for start in (5, 10, 15):
        assert read(numbers, cursor) == (list(range(start, start + 5)), cursor)
    assert read(numbers, cursor) == ([20, 21, 22, 23], 0)
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", cursor) == f"Cursor not found, id: {cursor}"


def test_count_of_a_read(numbers):
    rows, cursor = first(numbers, "SORTBY", 2, "@n", "DESC", "MAX", 24, "WITHCURSOR", "COUNT", 2)
    assert rows == [23, 22] and read(numbers, cursor, "COUNT", 3)[0] == [21, 20, 19] and read(numbers,
            cursor)[0] == [18, 17]
    assert read(numbers, cursor, "COUNT", 100) == (list(range(16, -1, -1)), 0)


def test_one_read_may_do(numbers):
    assert first(numbers, "WITHCURSOR") == (list(range(24)), 0)
    assert first(numbers, "LIMIT", 0, 3, "WITHCURSOR", "COUNT", 10) == ([0, 1, 2], 0)
    assert first(numbers, "FILTER", "@n > 99", "WITHCURSOR", "COUNT", 1) == ([], 0)


def test_delete(numbers):
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    assert numbers.execute_command("FT.CURSOR", "DEL", "idx", cursor) in (b"OK", True)
    assert refusal(numbers, "FT.CURSOR", "DEL", "idx", cursor) == "Cursor does not exist"


def test_refusals(numbers):
    assert refusal(numbers, "FT.CURSOR", "READ", "nope", 1) == "SEARCH_INDEX_NOT_FOUND Index not found: nope"
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", "x") == "Bad cursor ID"
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", 5, "COUNT", "x") == "Bad value for COUNT: `x`"
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", 5, "FOO",
                   "3") == "SEARCH_ARG_UNRECOGNIZED Unknown argument `FOO`"
    assert refusal(numbers, "FT.CURSOR", "FOO", "idx", 5) == "unknown subcommand 'FOO'. Try FT.CURSOR HELP."
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    numbers.execute_command("FT.CREATE", "other", "SCHEMA", "n", "NUMERIC")
    assert refusal(numbers, "FT.CURSOR", "READ", "other", cursor) == f"Cursor not found, id: {cursor}"


def test_index_that_goes_takes_its_cursors_along(numbers):
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    numbers.execute_command("FT.DROPINDEX", "idx")
    numbers.execute_command("FT.CREATE", "idx", "PREFIX", 1, "n:", "SCHEMA", "n", "NUMERIC", "SORTABLE")
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", cursor) == f"Cursor not found, id: {cursor}"


def test_idle_cursors_go(numbers):
    _, kept = first(numbers, "WITHCURSOR", "COUNT", 1)
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1, "MAXIDLE", 1)
    wait_until(lambda: _open(numbers) == 1)
    assert refusal(numbers, "FT.CURSOR", "READ", "idx", cursor) == f"Cursor not found, id: {cursor}" and read(numbers,
            kept)[0] == [1]
    assert numbers.execute_command("FT.CURSOR", "GC", "idx", 0) == 0


def test_most_cursors_of_an_index(numbers):
    numbers.config_set("search-index-cursor-limit", 3)
    try:
        cursors = [first(numbers, "WITHCURSOR", "COUNT", 1)[1] for _ in range(3)]
        refused = refusal(numbers, "FT.AGGREGATE", "idx", "*", "WITHCURSOR", "COUNT", 1)
        assert "INDEX_CURSOR_LIMIT of 3 has been reached" in refused
        numbers.execute_command("FT.CURSOR", "DEL", "idx", cursors[0])
        assert first(numbers, "WITHCURSOR", "COUNT", 1)[1]
    finally:
        numbers.config_set("search-index-cursor-limit", 128)


def test_documents_that_go_between_two_reads(numbers):
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    rest = set(range(1, 24))
    # Rows that were made ahead of the reads are shown as they were; nothing new is.
    for i in (20, 21):
        numbers.delete(f"n:{i}")
    numbers.hset("n:99", "n", 99)
    rows, _ = read(numbers, cursor, "COUNT", 100)
    assert rest - {20, 21} <= set(rows) <= rest


def test_documents_that_go_before_their_turn(numbers):
    rows, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    numbers.delete(*[f"n:{i}" for i in range(1, 24)])
    reply = numbers.execute_command("FT.CURSOR", "READ", "idx", cursor)
    assert rows == [0] and rows_of(reply[0])[:2] == (0, []) and reply[1] == 0


def test_profile_of_a_cursor_without(numbers):
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    assert "not profile" in refusal(numbers, "FT.CURSOR", "PROFILE", "idx", cursor)
    assert "Cursor not found" in refusal(numbers, "FT.CURSOR", "PROFILE", "idx", 123)


def test_protocol_of_the_reader_counts(numbers, r2, r3):
    _, cursor = first(numbers, "WITHCURSOR", "COUNT", 1)
    assert isinstance(r3.execute_command("FT.CURSOR", "READ", "idx", cursor, "COUNT", 1)[0], dict)
    assert isinstance(r2.execute_command("FT.CURSOR", "READ", "idx", cursor, "COUNT", 1)[0], list)
