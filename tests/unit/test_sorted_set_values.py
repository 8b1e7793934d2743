"""The sorted set type against a plain model of it."""
import random

import pytest
from respserver.values import sorted_set
from respserver.values.sorted_set import SortedSet


@pytest.mark.parametrize("longest", [4, 1024])
def test_like_a_sorted_list(monkeypatch, longest):
    monkeypatch.setattr(sorted_set, "_LONGEST", longest)
    rng = random.Random(longest)
    value, model = SortedSet(), {}
    for step in range(4000):
        member = b"%d" % rng.randrange(200)
        if rng.random() < 0.6:
            score = rng.choice((rng.randrange(10), rng.random(), float("inf"), float("-inf"), -0.0))
            assert value.put(member, score) is (member not in model)
            model[member] = score
        else:
            assert value.remove(member) is (model.pop(member, None) is not None)
        if step % 50:
            continue
        entries = sorted((score, member) for member, score in model.items())
        assert [(score, member) for member, score in value.items()] == entries and len(value) == len(entries)
        start, stop = rng.randrange(-3, 210), rng.randrange(-3, 210)
        assert value.slice(start, stop) == entries[max(start, 0):max(stop, 0)]
        assert value.slice(start, stop, reverse=True) == entries[::-1][max(start, 0):max(stop, 0)]
        for score in (-1, 0, 3, 0.5, float("inf"), float("-inf")):
            assert value.below(score, False) == sum(s < score for s, _ in entries)
            assert value.below(score, True) == sum(s <= score for s, _ in entries)
        for place, (_, entry) in enumerate(entries[:20]):
            assert value.rank(entry) == place
        assert SortedSet(value.items()).slice(0, 300) == entries == value.copy().slice(0, 300)


def test_texts():
    members = [b"", b"a", b"aa", b"b", b"\xff", b"\xff\xff"]
    value = SortedSet((member, 0) for member in members)
    for text in (*members, b"aaa", b"c", b"\0"):
        assert value.before(text, False) == sum(member < text for member in members)
        assert value.before(text, True) == sum(member <= text for member in members)


def test_scans_see_what_stays():
    value = SortedSet((b"%d" % i, i) for i in range(1000))
    cursor, seen = 0, []
    while True:
        cursor, page = value.scan(cursor, 10)
        seen += page
        value.remove(b"%d" % (len(seen) // 10 * 7 % 1000))
        value.put(b"new%d" % len(seen), 1)
        if not cursor:
            break
    assert set(seen) >= value.members() - {member for member in value.members() if member.startswith(b"new")}
    assert value.random_member() in value
