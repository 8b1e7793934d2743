"""Requests: each case whole, byte by byte and with something behind it; then the limits."""
import random
import time

import pytest
from helpers import pack

from respserver.protocol.request import RequestParser, split_words

MANY = [b"MSET"] + [b"k%d" % i for i in range(2000)]
BIG = bytes(range(256)) * 400

#: bytes -> commands
GOOD = [
    (pack("PING"), [[b"PING"]]),
    (pack("SET", "k", "v"), [[b"SET", b"k", b"v"]]),
    (pack("SET", "k", ""), [[b"SET", b"k", b""]]),
    (pack("SET", "k", b"\r\n$3\r\n*1\r\n$-1\r\n"), [[b"SET", b"k", b"\r\n$3\r\n*1\r\n$-1\r\n"]]),
    (pack("SET", "k", b"\x00\xff\r\n"), [[b"SET", b"k", b"\x00\xff\r\n"]]),
    (pack(*MANY), [MANY]),
    (pack("SET", "k", BIG), [[b"SET", b"k", BIG]]),
    (pack("A") * 50, [[b"A"]] * 50),
    (pack("SET", "k", b"x" * 300) * 5, [[b"SET", b"k", b"x" * 300]] * 5),
    (b"*0\r\n" + pack("A"), [[b"A"]]),
    (b"*-1\r\n" + pack("A"), [[b"A"]]),
    (b"*-7\r\n" + pack("A"), [[b"A"]]),
    (b"PING\r\n", [[b"PING"]]),
    (b"PING\n", [[b"PING"]]),
    (b"\r\n\n   \r\n", []),
    (b"  SET  k\tv \r\n", [[b"SET", b"k", b"v"]]),
    (b'SET k "a b\\n\\x41\\q\\""\r\n', [[b"SET", b"k", b'a b\nAq"']]),
    (b"SET k 'a \\' \\n'\r\n", [[b"SET", b"k", b"a ' \\n"]]),
    (b"SET k ''\r\n", [[b"SET", b"k", b""]]),
    (pack("A") + b"PING\r\n" + pack("B", "c"), [[b"A"], [b"PING"], [b"B", b"c"]]),
    (b"$4\r\nPING\r\n", [[b"$4"], [b"PING"]]),
    (b":1\r\n", [[b":1"]]),
    (b"#f\r\n" + pack("A"), [[b"#f"], [b"A"]]),
    (b"*1\r\n$4\r\nPINGxx", [[b"PING"]]),
]

#: bytes -> commands before the error, its text
BAD = [
    (b"*x\r\n", [], "invalid multibulk length"),
    (b"*\r\n", [], "invalid multibulk length"),
    (b"*01\r\n", [], "invalid multibulk length"),
    (b"*+1\r\n", [], "invalid multibulk length"),
    (b"*1 \r\n", [], "invalid multibulk length"),
    (b"*2147483648\r\n", [], "invalid multibulk length"),
    (b"*20000000000\r\n", [], "invalid multibulk length"),
    (b"*99999999999999999999\r\n", [], "invalid multibulk length"),
    (b"*1\r\n:1\r\n", [], "expected '$', got ':'"),
    (b"*1\r\n+PING\r\n", [], "expected '$', got '+'"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", [], "expected '$', got '*'"),
    (b"*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\na\r\n", [], "expected '$', got '*'"),
    (b"*1\r\n#f\r\n", [], "expected '$', got '#'"),
    (b"*1\r\n\r\n", [], "expected '$', got '\r'"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", [], "expected '$', got 'f'"),
    (b"*1\r\n$-1\r\n", [], "invalid bulk length"),
    (b"*2\r\n$4\r\nECHO\r\n$-1\r\n", [], "invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", [], "invalid bulk length"),
    (b"*1\r\n$+4\r\nPING\r\n", [], "invalid bulk length"),
    (b"*1\r\n$blabla\r\n", [], "invalid bulk length"),
    (b"*2\r\n$4\r\nECHO\r\n$999000000000\r\n", [], "invalid bulk length"),
    (b"*" + b"1" * 70000, [], "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 70000, [], "too big bulk count string"),
    (b"x" * 65537, [], "too big inline request"),
    (b'SET "a\r\n', [], "unbalanced quotes in request"),
    (b"SET 'a'b\r\n", [], "unbalanced quotes in request"),
    (pack("A") + pack("B") + b"*x\r\n" + pack("C"), [[b"A"], [b"B"]], "invalid multibulk length"),
    (pack("A") + b"PING 'a\r\n", [[b"A"]], "unbalanced quotes in request"),
]


def parse(chunks, **options):
    parser = RequestParser(**options)
    commands = []
    for chunk in chunks:
        commands += parser.feed(chunk)
        if parser.error:
            break
    return commands, parser


def bytewise(data):
    return [data[i:i + 1] for i in range(len(data))]


@pytest.mark.parametrize("data, commands", GOOD, ids=range(len(GOOD)))
class TestGood:
    def test_whole(self, data, commands):
        found, parser = parse([data])
        assert found == commands and parser.error is None and parser.buffered == 0

    def test_byte_by_byte(self, data, commands):
        if len(data) > 20000:
            data, commands = data[:0], []
        found, parser = parse(bytewise(data))
        assert found == commands and parser.error is None and parser.buffered == 0

    def test_in_two_parts(self, data, commands):
        for cut in random.Random(1).sample(range(1, len(data)), min(60, len(data) - 1)):
            found, parser = parse([data[:cut], data[cut:]])
            assert found == commands and parser.error is None and parser.buffered == 0

    def test_with_bytes_behind(self, data, commands):
        found, parser = parse([data + b"*2\r\n$3\r\nGET", b"\r\n$1\r\nk\r\n" + pack("PING")])
        assert found == commands + [[b"GET", b"k"], [b"PING"]] and parser.buffered == 0

    def test_behind_a_cut_command(self, data, commands):
        found, parser = parse([b"*1\r\n$4\r\nPI", b"NG\r\n" + data])
        assert found == [[b"PING"], *commands] and parser.buffered == 0


@pytest.mark.parametrize("data, commands, text", BAD, ids=range(len(BAD)))
class TestBad:
    def test_whole(self, data, commands, text):
        found, parser = parse([data])
        assert found == commands and str(parser.error) == text

    def test_byte_by_byte(self, data, commands, text):
        if len(data) > 20000:
            return
        found, parser = parse(bytewise(data))
        assert found == commands and str(parser.error) == text

    def test_nothing_follows(self, data, commands, text):
        _, parser = parse([data])
        assert parser.feed(pack("PING")) == [] and parser.more() == []


def test_random_streams_do_not_depend_on_the_cuts():
    rng = random.Random(5)
    for _ in range(300):
        pieces = [pack(*[rng.randbytes(rng.choice((0, 1, 5, 200))) for _ in range(rng.randrange(1, 6))])
                  for _ in range(rng.randrange(1, 12))]
        if rng.random() < 0.3:
            pieces.insert(rng.randrange(len(pieces)), rng.choice([b"PING\r\n", b"*0\r\n", b"*x\r\n", b"*1\r\n:1\r\n"]))
        data = b"".join(pieces)
        whole, parser = parse([data])
        cuts = sorted(rng.sample(range(len(data)), min(len(data), rng.randrange(1, 10))))
        parts, other = parse([part for part in (data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])) if part])
        assert parts == whole and str(parser.error) == str(other.error)


def test_mutated_streams_give_commands_of_bytes_or_an_error():
    rng = random.Random(11)
    base = pack("SET", "k", "v" * 20) + pack("HSET", "h", "f", "v") + pack("GET", "k")
    for _ in range(3000):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            data[at:at + rng.randrange(2)] = rng.choice([b"", b"*", b"$", b"\r\n", b"9", b"-", b":", bytes([rng.randrange(256)])])
        whole, parser = parse([bytes(data)])
        parts, other = parse(bytewise(bytes(data)))
        assert whole == parts and str(parser.error) == str(other.error)
        assert all(type(word) is bytes for words in whole for word in words)


def test_announced_sizes_cost_nothing():
    """Neither a huge word count nor a huge length makes the parser take memory or wait for what is not allowed."""
    found, parser = parse([b"*2147483647\r\n$1\r\n"])
    assert found == [] and parser.error is None and parser.buffered < 100
    found, parser = parse([pack("A") + b"*2147483647\r\n$1\r\na\r\n"])
    assert found == [[b"A"]] and parser.error is None


@pytest.mark.parametrize("kind", "*%~>|")
def test_announced_sizes_inside_a_command_cost_nothing(kind):
    """hiredis would make room for two thousand million elements, and take half a minute to give it back."""
    started = time.process_time()
    for before in (b"", pack("PING") * 2, pack("SET", "k", "v" * 600)):
        for text in (b"*2\r\n$1\r\na\r\n", b"*1\r\n", b"*2\r\n$1\r\na\r\x17"):
            commands, parser = parse([before + text + f"{kind}2147483647\r\n$1\r\nb\r\n".encode() + b"$1\r\nc\r\n" * 100])
            assert str(parser.error) == f"expected '$', got '{kind}'"
    assert time.process_time() - started < 5


def test_texts_that_look_like_long_arrays():
    value = b"list:\n*123456 first\r\n*999999\r\n" * 50
    commands, parser = parse([pack("SET", "a", value) * 3 + pack("PING")])
    assert commands == [[b"SET", b"a", value]] * 3 + [[b"PING"]] and parser.error is None


def test_max_bulk():
    found, parser = parse([pack("SET", "k", b"x" * 1001)[:60]], max_bulk=1000)
    assert str(parser.error) == "invalid bulk length"
    assert parse([pack("SET", "k", b"x" * 1000)], max_bulk=1000)[0] == [[b"SET", b"k", b"x" * 1000]]


class TestRestricted:
    """Before anybody has authenticated."""

    def test_limits(self):
        assert str(parse([b"*11\r\n"], restricted=True)[1].error) == "unauthenticated multibulk length"
        assert str(parse([b"*1\r\n$16385\r\n"], restricted=True)[1].error) == "unauthenticated bulk length"
        assert parse([pack(*"0123456789")], restricted=True)[0] == [[b"%d" % i for i in range(10)]]

    def test_one_command_at_a_time(self):
        parser = RequestParser(restricted=True)
        assert parser.feed(pack("AUTH", "x") + pack("A") + pack(*range(20)) + pack("B")) == [[b"AUTH", b"x"]]
        assert parser.more() == [[b"A"]]
        parser.release()
        assert parser.more() == [[b"%d" % i for i in range(20)], [b"B"]]
        assert parser.more() == []


def test_long_values_are_taken_in_linear_time():
    value = b"x" * 5_000_000
    data = pack("SET", "k", value)
    found, _ = parse([data[i:i + 4096] for i in range(0, len(data), 4096)])
    assert found == [[b"SET", b"k", value]]


@pytest.mark.parametrize("line, words", [
    (b"", []), (b"a", [b"a"]), (b'"a b"', [b"a b"]), (b'""', [b""]), (b'"\\x4"', [b"x4"]), (b'"\\xZZ"', [b"xZZ"]),
    (b'a"b"', [b"ab"]),
    (b'"a"b', None), (b'"a', None), (b"'a", None), (b'"a\\', None), (b"a\x00b", [b"a"]), (b'"\\r\\t\\a\\b"', [b"\r\t\a\b"]),
])
def test_split_words(line, words):
    assert split_words(line) == words


class TestRepeatedCommands:
    """Long commands that differ from the one before in one word are cut without reading the others."""

    @staticmethod
    def search(vector, text="q", tail="end"):
        return [b"FT.SEARCH", b"idx", text.encode(), b"PARAMS", b"2", b"v", vector, b"DIALECT", tail.encode()]

    def check(self, commands):
        parser = RequestParser()
        for words in commands:
            got = parser.feed(pack(*words))
            assert got == [words]
            got[0][:] = [None] * len(words)         # who gets them may use them up

    def test_another_vector(self):
        r = random.Random(1)
        self.check([self.search(r.randbytes(1536)) for _ in range(50)])

    def test_vectors_that_look_like_commands(self):
        vector = pack("PING") * 60
        self.check([self.search(vector), self.search(vector[::-1]), self.search(vector),
                    self.search(b"\r\n" * (len(vector) // 2))])

    def test_other_words_of_the_same_size(self):
        r = random.Random(2)
        self.check([self.search(r.randbytes(800), text="q%d" % (i % 3), tail="x%d" % (i // 4 % 2)) for i in range(200)])

    def test_the_same_size_cut_differently(self):
        x = b"x" * 600
        same = [[b"SET", x, b"ab"], [b"SET", x + b"a", b"b"], [b"SET", b"ab", x], [b"SET", x, b"ab"], [b"SET", x, b"ab"],
                [b"SET", x, b"cd"]]
        assert len({len(pack(*words)) for words in same}) == 1
        self.check(same * 100)

    def test_several_longest_words(self):
        self.check([[b"MSET", b"k" * 400, b"v" * 400], [b"MSET", b"k" * 400, b"w" * 400], [b"MSET", b"l" * 400, b"w" * 400]] * 50)

    def test_random_ones(self):
        r = random.Random(3)
        words = [[r.randbytes(r.choice((1, 2, 300, 301))) for _ in range(r.choice((3, 4)))] for _ in range(20)]
        self.check([r.choice(words) for _ in range(3000)])

    def test_cut_off_and_completed_between(self):
        first, second = (pack(*self.search(c * 900)) for c in (b"a", b"b"))
        parser = RequestParser()
        for _ in range(5):
            assert len(parser.feed(first)) == 1 and len(parser.feed(second)) == 1
            assert parser.feed(second[:700]) == [] and len(parser.feed(second[700:])) == 1
            assert len(parser.feed(first + second)) == 2
            assert parser.feed(b"PING\r\n") == [[b"PING"]]


def test_the_words_of_an_unfinished_command_are_buffered():
    parser = RequestParser()
    parser.feed(b"*1000\r\n")
    for i in range(1, 100):
        parser.feed(b"$1000\r\n" + b"x" * 1000 + b"\r\n")
        assert 1000 * i <= parser.buffered <= 1100 * i
    parser = RequestParser()
    parser.feed(pack("SET", "k", "x" * 5000)[:-1])
    assert parser.buffered > 5000
    assert len(parser.feed(b"\n")) == 1 and not parser.buffered


class TestPipelines:
    """Pipelines of short commands are cut all at once."""

    def test_random_ones(self):
        r = random.Random(7)
        for _ in range(2000):
            n_words = r.choice((1, 3, 4))
            commands = [[r.choice((b"x", b"", b"\r\n", b"$1", b"*1\r\n$1\r\nx", b"\r", b"\n", r.randbytes(40), b"y" * 511,
                                   b"z" * 600)) if r.random() < 0.3 else b"word%d" % r.randrange(100)
                         for _ in range(n_words if r.random() < 0.99 else 2)] for _ in range(r.choice((2, 5, 16)))]
            data = b"".join(pack(*words) for words in commands)
            assert list(RequestParser().feed(data)) == commands
            cut = r.randrange(1, len(data))
            parser = RequestParser()
            assert [*parser.feed(data[:cut]), *parser.feed(data[cut:])] == commands and parser.error is None

    @pytest.mark.parametrize("spoilt", [b"*1\r\n$5\r\nPING\r\n\r\n", b"*2\r\n$4\r\nPING\r\n", b"*01\r\n$4\r\nPING\r\n",
                                        b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$-1\r\nPING\r\n", b"*1\r\n:4\r\nPING\r\n"])
    def test_another_spelling_among_them(self, spoilt):
        whole, single = RequestParser(), RequestParser()
        data = pack("PING") * 3 + spoilt + pack("PING") * 3
        commands = []
        for i in range(len(data)):
            commands += single.feed(data[i:i + 1])
        assert list(whole.feed(data)) == commands and str(whole.error) == str(single.error)

    def test_long_words(self):
        r = random.Random(9)
        for _ in range(300):
            commands = [[b"HSET", b"doc:%d" % r.randrange(9999), b"v", r.randbytes(r.choice((700, 1536, 9000))), b"t",
                         r.choice((b"", b"tag", b"\r\n*1"))] if r.random() < 0.95 else [b"GET", b"k%d" % r.randrange(9)]
                        for _ in range(r.choice((1, 2, 12)))]
            data = b"".join(pack(*words) for words in commands)
            cuts = sorted(r.sample(range(len(data)), r.choice((0, 1, 4))))
            found, parser = parse([part for part in (data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])) if part])
            assert found == commands and parser.error is None and not parser.buffered

    @pytest.mark.parametrize("head, text", [(b"$01000", "invalid bulk length"), (b"$-1", "invalid bulk length"),
                                            (b"$1_00", "invalid bulk length"), (b"$ 1000", "invalid bulk length"),
                                            (b"#1000", "expected '$', got '#'"), (b"$99999999999", "invalid bulk length"),
                                            (b"$+1000", "invalid bulk length")])
    def test_another_length_among_long_words(self, head, text):
        good = pack("SET", "k", b"x" * 1000)
        found, parser = parse([good * 3 + good.replace(b"$1000", head) + good])
        assert found == [[b"SET", b"k", b"x" * 1000]] * 3 and str(parser.error) == text

    def test_another_line_end_among_long_words(self):
        good = pack("SET", "k", b"x" * 1000)
        whole, single = parse([good + good[:-2] + b"yz" + good]), parse(bytewise(good + good[:-2] + b"yz" + good))
        assert whole[0] == single[0] and str(whole[1].error) == str(single[1].error)
