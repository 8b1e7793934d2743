"""Logs cut and damaged at every byte: what is whole is read, anything else is told."""
import random
from types import SimpleNamespace

import hiredis
import pytest

from respserver.persistence import replay
from respserver.persistence.as_commands import encode

COMMANDS = [[b"SELECT", b"0"], [b"SET", b"key", b"a\r\n*3\r\nvalue"], [b"MULTI"], [b"INCR", b"n"],
            [b"HSET", b"h", b"f", bytes(range(256))], [b"EXEC"], [b"SET", b"empty", b""],
            [b"RPUSH", b"list", *[b"%d" % i for i in range(20)]]]


def read(path):
    """(commands, error) of a file."""
    found = []
    try:
        for words, end in replay.commands(str(path)):
            found.append((words, end))
    except replay.AofError as error:
        return found, error
    return found, None


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(map(encode, COMMANDS)))
    return path


def test_cut_at_every_byte(log):
    text = log.read_bytes()
    ends = [0]
    for words in COMMANDS:
        ends.append(ends[-1] + len(encode(words)))
    for size in range(len(text) + 1):
        log.write_bytes(text[:size])
        found, error = read(log)
        n = sum(end <= size for end in ends) - 1
        assert found == list(zip(COMMANDS[:n], ends[1:n + 1]))
        if size in ends:
            assert error is None
        else:
            assert type(error) is replay.Truncated and error.offset == ends[n]


def test_damaged_at_every_byte(log):
    text = log.read_bytes()
    chance = random.Random(1)
    for at in range(len(text)):
        for _ in range(3):
            log.write_bytes(text[:at] + bytes((chance.randrange(256),)) + text[at + 1:])
            found, error = read(log)
            assert error is None or error.offset <= at + 1
            for words, _ in found:
                assert words and all(type(word) is bytes for word in words)


def test_random_bytes(log):
    chance = random.Random(2)
    for _ in range(500):
        log.write_bytes(bytes(chance.choices(b"*$#\r\n0123456789abc-", k=chance.randrange(60))))
        read(log)


def test_across_chunks(tmp_path):
    path = tmp_path / "log"
    commands = [[b"SET", b"k%d" % i, b"x" * (i * 977 % 300_000)] for i in range(60)]
    path.write_bytes(b"#TS:1\r\n" + b"".join(encode(words) + (b"#TS:%d\r\n" % i if i % 5 == 0 else b"")
                                             for i, words in enumerate(commands)))
    found, error = read(path)
    assert error is None and [words for words, _ in found] == commands


def test_what_announces_very_many_elements_is_cut_by_hand(tmp_path):
    """hiredis would make room for them all, though they are not there."""
    path = tmp_path / "log"
    bait = b"*2147483648\r\n"
    path.write_bytes(encode([b"SET", b"a", b"b"]) + b"*3\r\n$3\r\nSET\r\n" + bait * 3)
    found, error = read(path)
    assert [words for words, _ in found] == [[b"SET", b"a", b"b"]] and "no command" in str(error) and error.offset == found[0][1]
    for shift in range(1 << 20, (1 << 20) - 60, -7):            # in a value, also where two chunks meet
        commands = [[b"SET", b"pad", b"x" * (shift - 36)], [b"SET", b"key", bait], [b"#", b"last"]]
        path.write_bytes(b"".join(map(encode, commands)))
        found, error = read(path)
        assert error is None and [words for words, _ in found] == commands
    path.write_bytes(bait)
    assert type(read(path)[1]) is replay.Truncated


def test_announcements_do_not_reach_the_parser_in_two_parts_either(tmp_path, monkeypatch):
    fed = []

    class Reader:
        def __init__(self):
            self.reader = hiredis.Reader()
            self.gets = self.reader.gets
            fed.append(b"")

        def feed(self, data):
            fed[-1] += data
            assert b"*99999\r\n" not in fed[-1]
            self.reader.feed(data)
    monkeypatch.setattr(replay, "hiredis", SimpleNamespace(Reader=Reader, HiredisError=hiredis.HiredisError))
    path = tmp_path / "log"
    for before in range(1, 9):                                  # bytes of it in the first chunk
        first = encode([b"SET", b"pad", b"x" * ((1 << 20) - 47 - before)]) + b"*3\r\n$3\r\nSET\r\n"
        assert len(first) == (1 << 20) - before
        path.write_bytes(first + b"*99999\r\n$1\r\na\r\n")
        assert "no command" in str(read(path)[1])
    assert len(fed) >= 8
