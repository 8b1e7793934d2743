"""native.Words.near against the whole table of edits."""
import random

import pytest

import native


def edits(one, other):
    """The least number of edits that make one text of the other, and the same without the last two characters of both."""
    table = [list(range(len(other) + 1))]
    for i, char in enumerate(one, 1):
        row = [i]
        for j in range(len(other)):
            row.append(min(table[-1][j] + (char != other[j]), table[-1][j + 1] + 1, row[j] + 1))
        table.append(row)
    before = table[-3][len(other) - 2] if len(one) > 1 < len(other) else None
    return table[-1][-1], before


def is_near(word, target, distance):
    word, target = (text.decode("utf-8", "replace") for text in (word, target))
    n, before = edits(word, target)
    return n <= distance or before is not None and before < distance and word[-2:] == target[:-3:-1] and word[-1] != word[-2]


def random_word(rng):
    n = rng.randrange(8)
    if rng.random() < 0.2:      # parts of characters, surrogates, bytes that begin none
        return bytes(rng.choice(b"A\xe2\x82\xac\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\xff") for _ in range(n))
    return "".join(rng.choice("abcé€") for _ in range(n)).encode()


@pytest.mark.parametrize("distance", range(5))
def test_against_the_table(distance):
    rng = random.Random(distance)
    for _ in range(20):
        names = sorted({random_word(rng) for _ in range(120)})
        words = native.Words(names)
        for target in [random_word(rng), rng.choice(names), names[0], b"a" * 40]:
            wanted = [i for i, name in enumerate(names) if is_near(name, target, distance)]
            assert words.near(target, distance, len(names)) == wanted
            assert words.near(target, distance, 3) == wanted[:3]


def test_none_and_too_far():
    assert native.Words([]).near(b"a", 1, 10) == []
    assert native.Words([b""]).near(b"", 0, 10) == [0] and native.Words([b""]).near(b"ab", 1, 10) == []
    with pytest.raises(native.NativeError):
        native.Words([b"a"]).near(b"a", 201, 10)
