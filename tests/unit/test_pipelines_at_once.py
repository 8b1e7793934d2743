"""Pipelines of one command, which are run as one, do what their commands do one by one:
replies, keys, log, counters, messages."""
import random
import re

import pytest
from helpers import pack
from socketless import Loop, Transport

import commands
from respserver.config import Config
from respserver.connection import Connection
from respserver.outbox import Outbox
from respserver.persistence.as_commands import encode
from respserver.persistence.journal import Journal
from respserver.protocol.request import Columns, RequestParser
from respserver.state import Server
from respserver.values.hash import Hash

KEYS = [b"k%d" % i for i in range(8)]
FIELDS = [b"f%d" % i for i in range(40)]
VALUES = [b"1", b"", b"text", b"\r\n", b"x" * 511, b"y" * 700, b"*1\r\n$1\r\nz"]
MILLISECONDS = 1_800_000_000_000


class Log(Journal):
    """Keeps what would be in the file."""

    text = b""

    def write(self, is_urgent=False):
        self.text += b"".join([entry if type(entry) is bytes else encode(entry) for entry in self.entries])
        self.entries.clear()
        return True


class World:
    """A server without sockets, a client whose commands count, and another one beside it."""

    def __init__(self):
        server = self.server = Server(Config())
        commands.load(server)
        server.config.load("slowlog-log-slower-than", ["60000000"])             # a busy machine makes anything slow
        server.ready()
        server.loop = Loop()
        server.outbox = Outbox(server.loop)
        journal = self.journal = Log(server, "no")
        server.keyspace.journal = server.dispatcher.journal = server.journal = server.outbox.journal = journal
        server.dispatcher.log_writes(True)
        self.now = MILLISECONDS
        server.keyspace.now_ms = lambda: self.now
        self.n_at_once = 0
        run_columns = server.dispatcher.run_columns

        def counted(client, columns):
            replies = run_columns(client, columns)
            self.n_at_once += replies is not None
            return replies
        server.dispatcher.run_columns = counted
        self.main, self.other = self.connect(), self.connect()

    def connect(self):
        connection = Connection(self.server, is_unix=True)
        connection.connection_made(Transport())
        return connection

    def send(self, connection, data):
        connection.data_received(data)
        while self.server.loop.calls:
            self.server.loop.turn()

    def close(self):
        self.server.dispatcher.log_writes(False)
        self.journal._jobs.put(None)

    def state(self):
        """All that must not depend on how the commands came."""
        server = self.server
        return {
            "replies": b"".join(self.main.transport.written),
            "messages": re.sub(rb"\+[0-9.]+ \[", b"+[", b"".join(self.other.transport.written)),
            "data": [[(key, list(value.items()) if type(value) is Hash else list(value)) for key, value in db.data.items()]
                     for db in server.keyspace.databases],
            "order": [None if db._order is None else db.scan(0, 1000)[1] for db in server.keyspace.databases],
            "times": [(db.expires, db.field_expires) for db in server.keyspace.databases],
            "changes": (server.keyspace.dirty, server.keyspace.n_expired, server.keyspace.n_expired_fields),
            "log": self.journal.text,
            "calls": {name: (command.stats.calls, command.stats.failed, command.stats.rejected)
                      for name, command in server.dispatcher.commands.items() if command.stats.calls or command.stats.rejected},
            "slow": [words for _, _, _, words, *_ in server.dispatcher.slowlog.entries],
            "stats": (server.stats.hits, server.stats.misses, server.stats.errors),
            "client": (self.main.client.n_commands, self.main.client.net_out, self.main.client.last_command,
                       self.main.client.is_dirty, self.main.client.db.index),
        }


def some_pipeline(r):
    """Words of commands, mostly of one name and length."""
    key, field, value = (lambda: r.choice(KEYS), lambda: r.choice(FIELDS),
                         lambda: r.choice(VALUES[:3] if r.random() < 0.97 else VALUES))
    of_hash = lambda: r.choice(KEYS if r.random() < 0.01 else KEYS[4:])
    of_text = lambda: r.choice(KEYS if r.random() < 0.01 else KEYS[:4])
    one = of_hash()
    kinds = {
        "set": lambda: (b"SET", of_text(), value()), "lower": lambda: (b"set", of_text(), value()),
        "one hash": lambda: (b"HSET", one, field(), value()), "hset": lambda: (b"HSET", of_hash(), field(), value()),
        "pairs": lambda: (b"HSET", of_hash(), field(), value(), field(), value()),
        "odd": lambda: (b"HSET", key(), field(), value(), field()),
        "get": lambda: (b"GET", of_text()), "incr": lambda: (b"INCR", key()),
        "del": lambda: (b"DEL", key()), "sadd": lambda: (b"SADD", key(), value()),
        "options": lambda: (b"SET", key(), value(), r.choice((b"NX", b"XX", b"GET", b"KEEPTTL", b"BAD"))),
        "timed": lambda: (b"SET", key(), value(), b"PX", b"30"), "none": lambda: (b"NONE", key(), value()),
        "short": lambda: (b"SET", key()), "fields": lambda: (b"HDEL", key(), field()),
        "push": lambda: (b"LPUSH", key(), value()),}
    likely = ["set", "one hash", "hset", "pairs", "get"]
    kind = r.choice(likely if r.random() < 0.7 else list(kinds))
    rows = [kinds[kind]() for _ in range(r.choice((2, 3, 16)))]
    if r.random() < 0.15:
        rows[r.randrange(len(rows))] = kinds[r.choice(list(kinds))]()
    return rows


def some_circumstance(r):
    """(whose, words): what may make a difference to those that follow."""
    key = r.choice(KEYS)
    return r.choice([
        (0, (b"PEXPIRE", key, b"40")), (0, (b"HPEXPIRE", key, b"40", b"FIELDS", b"2", *r.sample(FIELDS, 2))),
        (0, (b"PERSIST", key)),
        (1, (b"WATCH", key)), (1, (b"UNWATCH",)), (0, (b"WATCH", key)), (0, (b"MULTI",)), (0, (b"EXEC",)), (0, (b"EXEC",)),
        (1, (b"SCAN", b"0")),
        (0, (b"SELECT", r.choice((b"0", b"1")))), (0, (b"HELLO", r.choice((b"2", b"3")))), (0, (b"DEL", *KEYS)),
        (0, (b"DEL", *KEYS)),
        (0, (b"CONFIG", b"SET", b"notify-keyspace-events", r.choice((b"", b"KEA", b"")))), (1, (b"PSUBSCRIBE", b"*")),
        (1, (b"PUNSUBSCRIBE",)),
        (1, (b"MONITOR",)), (1, (b"RESET",)), (1, (b"BLPOP", key, b"0")),
        (0, (b"CONFIG", b"SET", b"slowlog-log-slower-than", r.choice((b"0", b"60000000")))),
        (0, (b"CLIENT", b"REPLY", r.choice((b"ON", b"ON", b"SKIP", b"OFF")))),
        (0, (b"CONFIG", b"SET", b"maxmemory", r.choice((b"1", b"0", b"0")))),
    ])


#: Nothing special any more.
CALM = [(0, (b"EXEC",)), (0, (b"CLIENT", b"UNBLOCK", b"2")), (0, (b"UNWATCH",)), (0, (b"CLIENT", b"REPLY", b"ON")),
        (1, (b"RESET",)), (0, (b"CONFIG", b"SET", b"notify-keyspace-events", b"")),
        (0, (b"CONFIG", b"SET", b"maxmemory", b"0")), (0, (b"CONFIG", b"SET", b"slowlog-log-slower-than", b"60000000"))]


def history(seed):
    """Pipelines and what happens between them: ("wait", ms), (0 or 1, rows of words, places of cuts)."""
    r = random.Random(seed)
    for _ in range(60):
        if r.random() < 0.1:
            for whose, words in CALM:
                yield whose, [words], []
        if r.random() < 0.15:
            whose, words = some_circumstance(r)
            yield whose, [words], []
        elif r.random() < 0.1:
            yield "wait", r.choice((1, 35)), None
        else:
            rows = some_pipeline(r)
            n = sum(len(pack(*words)) for words in rows)
            yield 0, rows, sorted(r.sample(range(1, n), r.choice((0, 0, 1, 2))))


def play(seed, one_by_one):
    world = World()
    try:
        for whose, rows, cuts in history(seed):
            if whose == "wait":
                world.now += rows
                continue
            connection = (world.main, world.other)[whose]
            parts = [pack(*words) for words in rows]
            if not one_by_one:
                data = b"".join(parts)
                parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
            for part in parts:
                world.send(connection, part)
        return world.state(), world.n_at_once
    finally:
        world.close()


@pytest.mark.parametrize("part", range(4))
def test_it_makes_no_difference(part):
    n_at_once = 0
    for seed in range(25 * part, 25 * part + 25):
        many, n = play(seed, False)
        single, none = play(seed, True)
        for name in single:
            assert many[name] == single[name], (seed, name)
        n_at_once += n
        assert none == 0
    assert n_at_once > 200                      # it was about something


@pytest.mark.parametrize("rows", [[("SET", "a", "1"), ("SET", "b", "")] * 3, [("HSET", "h", "f", "v")] * 5,
                                  [("GET", "a")] * 3 + [("SET", "a", "1")]])
def test_each_cut(rows):
    data = b"".join(pack(*words) for words in rows)
    found = []
    for cut in range(len(data)):
        world = World()
        try:
            for part in (data[:cut], data[cut:]):
                if part:
                    world.send(world.main, part)
            found.append(world.state())
        finally:
            world.close()
    assert all(state == found[0] for state in found)
    assert found[0]["log"] == pack("SELECT", "0") + (pack(*rows[-1]) if rows[0][0] == "GET" else data)


def test_long_pipelines_stay_columns_whatever_their_cuts():
    data = b"".join(pack("SET", "key:%d" % i, "x" * (i % 30)) for i in range(3000))
    for size in (1000, 4096, 4099, 65536):
        parser, rows, plain, logged = RequestParser(), [], 0, b""
        for i in range(0, len(data), size):
            found = parser.feed(data[i:i + size])
            plain += type(found) is not Columns
            rows += found
            logged += parser.exact or b""
        assert rows == [[b"SET", b"key:%d" % i, b"x" * (i % 30)] for i in range(3000)] and not parser.buffered
        assert (plain, logged) == (0, data) or plain == 1 and data.startswith(logged)  # the last read may be a single command


def test_a_rest_that_comes_in_small_pieces_is_not_read_time_and_again():
    parser = RequestParser()
    assert len(parser.feed(pack("SET", "a", "1") * 2 + b"*3\r\n$3\r\nSET\r\n$4\r\n")) == 2 and parser.buffered
    assert [parser.feed(bytes((c,))) for c in b"kkkk\r\n$1\r\n"] == [[]] * 10
    assert parser.feed(b"v\r\n" + pack("PING")) == [[b"SET", b"kkkk", b"v"], [b"PING"]] and not parser.buffered


def test_an_error_behind_whole_commands_is_told_at_once():
    parser = RequestParser()
    assert list(parser.feed(pack("SET", "a", "1") * 2 + b"*x\r\n")) == [[b"SET", b"a", b"1"]] * 2
    assert str(parser.error) == "invalid multibulk length" and parser.feed(pack("PING")) == []
