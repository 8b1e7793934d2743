"""What a client might send to make the server slow or large."""
import random
import time
from functools import lru_cache
from types import SimpleNamespace

from commands.ft.fields.tag import wildcard
from commands.ft.plans import MAX_PREPARED, Plans
from commands.ft.search import MAX_PER_TEXT, MAX_PREPARED_BYTES, keep


def fits(pattern: bytes, text: bytes) -> bool:
    """Wildcard matching spelt out."""
    parts, escaped = [], False
    for i, c in enumerate(pattern):
        if escaped:
            parts.append(c)
            escaped = False
        elif c == ord("\\") and i + 1 < len(pattern):
            escaped = True
        else:
            parts.append(chr(c) if chr(c) in "*?" else c)

    @lru_cache(None)
    def rest(i: int, j: int) -> bool:
        if i == len(parts):
            return j == len(text)
        if parts[i] == "*":
            return rest(i + 1, j) or (j < len(text) and rest(i, j + 1))
        return j < len(text) and parts[i] in ("?", text[j]) and rest(i + 1, j + 1)
    return rest(0, 0)


def test_wildcard_patterns_fit_what_they_should():
    rng = random.Random(1)
    n = 0
    for _ in range(5000):
        pattern = "".join(rng.choices("ab*?\\*", k=rng.randint(0, 8))).encode()
        text = "".join(rng.choices("ab*", k=rng.randint(0, 8))).encode()
        found = wildcard(pattern).fullmatch(text) is not None
        assert found == fits(pattern, text), (pattern, text)
        n += found
    assert n > 500


def test_no_wildcard_pattern_takes_long():
    started = time.process_time()
    assert wildcard(b"*a" * 200 + b"b").fullmatch(b"a" * 4000) is None
    assert wildcard(b"*a?" * 200 + b"*b").fullmatch(b"a" * 4000) is None
    assert time.process_time() - started < 10


def test_prepared_searches_are_bounded():
    index = SimpleNamespace(plans=Plans())
    for page in range(1000):
        keep(index, b"*", (b"LIMIT", b"%d" % page, b"1"), page)
        assert index.plans[b"*"][-1] == page and len(index.plans[b"*"]) <= MAX_PER_TEXT
    for i in range(2 * MAX_PREPARED):
        keep(index, b"@n:[%d 9]" % i, (), i)
        assert len(index.plans) <= MAX_PREPARED
    keep(index, b"a" * MAX_PREPARED_BYTES, (b"LIMIT", b"0", b"0"), None)
    assert b"a" * MAX_PREPARED_BYTES not in index.plans
