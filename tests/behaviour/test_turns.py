"""A long pipeline gives way to other clients and loses nothing by it."""
import socket

from helpers import pack, wait_until

STEP = pack("DEBUG", "SLEEP", "0.001") + pack("INCR", "n")      # a thousandth of a second each
STEPS = 300


def test_others_are_served_in_between(raw, connect):
    other = connect()
    for _ in range(20):                 # this process may itself have to wait while all is done
        raw.call("DEL", "n")
        raw.send(STEP * STEPS)
        n = int(other.call("GET", "n") or 0)
        replies = [raw.read() for _ in range(2 * STEPS)]
        assert replies[1::2] == list(range(1, STEPS + 1))
        if n < STEPS:
            break
    assert n < STEPS


def test_commands_that_arrive_meanwhile_come_after(raw):
    raw.send(STEP * STEPS)
    raw.read()
    raw.send(pack("GET", "n"))
    assert [raw.read() for _ in range(2 * STEPS)][-1] == str(STEPS).encode()


def test_all_is_executed_when_the_client_closes_its_side(raw, connect):
    raw.send(STEP * STEPS)
    raw.socket.shutdown(socket.SHUT_WR)
    assert [raw.read() for _ in range(2 * STEPS)][-1] == STEPS
    assert raw.is_closed()


def test_all_is_answered_before_a_protocol_error(raw):
    raw.send(STEP * STEPS + b"*x\r\n")
    assert [raw.read() for _ in range(2 * STEPS)][-1] == STEPS
    assert raw.read() == "ERR Protocol error: invalid multibulk length" and raw.is_closed()


def test_a_client_that_goes_is_noticed_while_it_waits_with_commands_behind(own_server, raw, connect):
    """Its pipeline had to give way first, and then stopped at a command that waits."""
    for long in (0, 200_000):
        other = connect()
        other.call("CLIENT", "SETNAME", "leaving")
        other.send(pack("DEBUG", "SLEEP", "0.004") * 16 + pack("BLPOP", "none", "0") + pack("SET", "k", "x" * long))
        wait_until(lambda: b"blocked_clients:1" in raw.call("INFO", "clients"))
        other.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: b"name=leaving" not in raw.call("CLIENT", "LIST"))
