"""A connection's turns: when it stops to read so that others get theirs. Without sockets."""
import time

import pytest
from socketless import Loop, Transport

from respserver.config import Config
from respserver.connection import LONG_READ, TURN_NS, Connection
from respserver.outbox import Outbox
from respserver.protocol.reply import OK
from respserver.registry import Command
from respserver.state import Server
from respserver.stats import CommandStats


def half_a_turn(client):
    time.sleep(TURN_NS / 2e9)
    return OK


@pytest.fixture
def connection():
    server = Server(Config())
    server.loop = Loop()
    server.outbox = Outbox(server.loop)
    for name, function, arity in ((b"SLOW", half_a_turn, 1), (b"ECHO", lambda client, text: text, 2)):
        server.dispatcher.table[name] = Command(name.decode(), function, arity, frozenset(), (0, 0, 0), "generic", "1.0.0",
                                                "For this test.", stats=CommandStats())
    connection = Connection(server, is_unix=True)
    connection.connection_made(Transport())
    return connection


def drain(connection):
    while connection.server.loop.calls:
        connection.server.loop.turn()


def test_nothing_more_is_read_while_commands_wait_for_their_turn(connection):
    connection.data_received(b"*1\r\n$4\r\nSLOW\r\n" * 40)
    assert not connection.transport.reading and len(b"".join(connection.transport.written)) < 40 * 5
    drain(connection)
    assert connection.transport.reading and b"".join(connection.transport.written) == b"+OK\r\n" * 40


def test_a_long_read_ends_a_turn(connection):
    connection.data_received(b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % LONG_READ + b"x" * LONG_READ)
    assert not connection.transport.reading
    drain(connection)
    assert connection.transport.reading
    connection.data_received(b"\r\n")
    assert connection.transport.reading


def test_a_client_that_has_left_is_not_read_from(connection):
    connection.data_received(b"*1\r\n$4\r\nSLOW\r\n" * 40)
    connection.transport.close()
    connection.connection_lost(None)
    drain(connection)
    assert not connection.transport.reading
