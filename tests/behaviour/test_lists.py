"""The list commands."""
import time

import pytest

from helpers import wait_until

NOT_INT = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
WRONG = "WRONGTYPE Operation against a key holding the wrong kind of value"


def everything(client, key="l"):
    return client.lrange(key, 0, -1)


def test_push_and_pop(both, raw):
    assert both.rpush("l", "a", "b", "c") == 3 and both.lpush("l", "z", "y") == 5
    assert everything(both) == [b"y", b"z", b"a", b"b", b"c"]
    assert both.lpushx("l", "x") == 6 and both.rpushx("l", "d") == 7
    assert both.lpushx("none", "x") == both.rpushx("none", "x") == 0
    assert both.lpop("l") == b"x" and both.rpop("l") == b"d" and both.rpop("l", 2) == [b"c", b"b"]
    assert both.lpop("l", 0) == []
    assert both.lpop("l", 100) == [b"y", b"z", b"a"] and not both.exists("l") and both.lpop("l") is None
    assert both.lpop("l", 2) is None
    assert raw.call("LPOP", "l", "-1") == raw.call("RPOP", "l", "x") == "ERR value is out of range, must be positive"
    assert raw.call("LPOP", "l", "1", "2") == "ERR wrong number of arguments for 'lpop' command"
    assert raw.send(b"*3\r\n$4\r\nLPOP\r\n$1\r\nl\r\n$1\r\n2\r\n").line() == b"*-1"


@pytest.mark.parametrize("size", [10, 2000])
def test_positions(both, raw, size):
    both.rpush("l", *range(size))
    items = [b"%d" % i for i in range(size)]
    assert both.llen("l") == size and both.llen("none") == 0
    for i in (0, 1, size // 2, size - 1, -1, -size):
        assert both.lindex("l", i) == items[i]
    assert both.lindex("l", size) is None and both.lindex("l", -size - 1) is None and both.lindex("none", 0) is None
    for start, end, part in ((0, -1, items), (1, 3, items[1:4]), (-3, -1, items[-3:]), (5, 2, []), (size, size + 5, []),
                             (-10**18, 10**18, items),
                             (size // 2, size // 2 + 3, items[size // 2:size // 2 + 4]),
                             (size - 4, size - 2, items[-4:-1]), (0, -size - 1, [])):
        assert both.lrange("l", start, end) == part, (start, end)
    assert both.lset("l", -1, "last") and both.lset("l", 0, "first") and both.lindex("l", -1) == b"last"
    assert both.lindex("l", 0) == b"first"
    assert raw.call("LSET", "l", size, "x") == "ERR index out of range"
    assert raw.call("LSET", "none", 0, "x") == "ERR no such key"
    assert raw.call("LINDEX", "l", "x") == raw.call("LRANGE", "l", "x", 1) == raw.call("LSET", "l", "x", 1) == NOT_INT
    assert both.linsert("l", "BEFORE", "3", "new") == size + 1 and both.lindex("l", 3) == b"new"
    assert both.linsert("l", "after", "last", "end") == size + 2 and both.lindex("l", -1) == b"end"
    assert both.linsert("l", "after", "none", "x") == -1 and both.linsert("none", "after", "x", "x") == 0
    assert raw.call("LINSERT", "l", "x", "a", "b") == SYNTAX


@pytest.mark.parametrize("size", [10, 2000])
@pytest.mark.parametrize("start, end", [(0, -1), (2, 4), (-3, -1), (0, 0), (5, 2), (50_000, -1), (0, -50_000), (1, -2),
                                        (-50_000, 50_000), (-2, -1)])
def test_trim(both, size, start, end):
    both.rpush("l", *range(size))
    expected = both.lrange("l", start, end)
    assert both.ltrim("l", start, end) and everything(both) == expected and both.exists("l") == bool(expected)
    assert both.ltrim("none", 0, 1)


def test_remove(both, raw):
    for count, left in ((0, "bcd"), (1, "bacad"), (-1, "abacd"), (2, "bcad"), (-2, "abcd"), (10, "bcd"), (-10, "bcd")):
        both.delete("l")
        both.rpush("l", *"abacad")
        assert both.lrem("l", count, "a") == 6 - len(left) and b"".join(everything(both)) == left.encode(), count
    assert both.lrem("l", 0, "x") == 0 and both.lrem("none", 0, "x") == 0 and raw.call("LREM", "l", "x", "a") == NOT_INT
    both.delete("l")
    both.rpush("l", "a", "a")
    assert both.lrem("l", 0, "a") == 2 and not both.exists("l")


def test_positions_of(both, raw):
    both.rpush("l", *"abcabcabc")
    assert both.lpos("l", "b") == 1 and both.lpos("l", "x") is None and both.lpos("none", "x") is None
    assert both.lpos("l", "b", rank=2) == 4 and both.lpos("l", "b", rank=-1) == 7
    assert both.lpos("l", "b", rank=9) is None
    assert both.lpos("l", "b", count=0) == [1, 4, 7] and both.lpos("l", "b", count=2) == [1, 4]
    assert both.lpos("l", "b", rank=-1, count=2) == [7, 4]
    assert both.lpos("l", "b", rank=2, count=0, maxlen=5) == [4] and both.lpos("l", "c", maxlen=2) is None
    assert both.lpos("l", "x", count=1) == []
    assert raw.call("LPOS", "l", "b", "RANK", 0).text.startswith("ERR RANK can't be zero: use 1")
    assert raw.call("LPOS", "l", "b", "COUNT", -1) == "ERR COUNT can't be negative"
    assert raw.call("LPOS", "l", "b", "MAXLEN", -1) == "ERR MAXLEN can't be negative"
    assert raw.call("LPOS", "l", "b", "RANK") == SYNTAX


def test_move(both, raw):
    both.rpush("a", 1, 2, 3)
    assert both.lmove("a", "b", "LEFT", "RIGHT") == b"1" and both.lmove("a", "b", "RIGHT", "LEFT") == b"3"
    assert everything(both, "b") == [b"3", b"1"] and both.rpoplpush("a", "b") == b"2" and not both.exists("a")
    assert both.lmove("b", "b", "LEFT", "RIGHT") == b"2" and everything(both, "b") == [b"3", b"1", b"2"]
    assert both.lmove("none", "b") is None and both.rpoplpush("none", "b") is None
    assert raw.call("LMOVE", "b", "a", "UP", "LEFT") == SYNTAX
    both.set("s", "v")
    assert raw.call("LMOVE", "b", "s", "LEFT", "LEFT") == WRONG and both.llen("b") == 3


def test_pop_from_many(both, raw):
    both.rpush("b", *"abcd")
    assert both.lmpop(2, "none", "b", direction="LEFT") == [b"b", [b"a"]]
    assert both.lmpop(2, "none", "b", direction="RIGHT", count=2) == [b"b", [b"d", b"c"]]
    assert both.lmpop(1, "none", direction="LEFT") is None
    for words, error in (("LMPOP 0 a LEFT", "ERR numkeys should be greater than 0"),
                         ("LMPOP x a LEFT", "ERR numkeys should be greater than 0"),
                         ("LMPOP 2 a LEFT", SYNTAX), ("LMPOP 1 a UP", SYNTAX),
                         ("LMPOP 1 a LEFT COUNT 0", "ERR count should be greater than 0"),
                         ("LMPOP 1 a LEFT COUNT", SYNTAX), ("LMPOP 1 a LEFT COUNT 1 COUNT 1", SYNTAX)):
        assert raw.call(*words.split()) == error, words


def waits(raw, n=1):
    """Until n clients are known to wait."""
    wait_until(lambda: raw.call("INFO", "clients").decode().split("blocked_clients:")[1].split()[0] == str(n),
               what=f"{n} blocked clients")


def test_blocking_pops_that_need_not_wait(both, raw):
    both.rpush("l", *"abcdef")
    assert list(both.blpop(["none", "l"], 100)) == [b"l", b"a"]
    assert list(both.brpop("l", 100)) == [b"l", b"f"]
    assert both.blmove("l", "m", 100) == b"b" and both.brpoplpush("l", "m", 100) == b"e"
    assert both.blmpop(100, 1, "l", direction="LEFT", count=9) == [b"l", [b"c", b"d"]]


def test_waiting_ends_with_an_element(connect, raw):
    for words, push, reply in (("BLPOP a b 0", "RPUSH b 1 2", [b"b", b"1"]),
                               ("BRPOP a b 0", "RPUSH b 1 2", [b"b", b"2"]),
                               ("BLMOVE b c LEFT LEFT 0", "LPUSH b 1", b"1"), ("BRPOPLPUSH b c 0", "LPUSH b 1", b"1"),
                               ("BLMPOP 0 2 a b LEFT COUNT 5", "RPUSH b 1 2", [b"b", [b"1", b"2"]])):
        raw.call("FLUSHALL")
        waiter = connect()
        waiter.send(b" ".join(word.encode() for word in words.split()) + b"\r\n")
        waits(raw)
        assert raw.call(*push.split()) == len(push.split()) - 2
        assert waiter.read() == reply
        assert raw.call("LLEN", "b") == {"BLPOP": 1, "BRPOP": 1}.get(words.split()[0], 0)
        assert raw.call("LLEN", "c") == words.split()[0].endswith(("MOVE", "PUSH"))


def test_the_next_command_comes_after_those_who_wait(connect, raw):
    waiter = connect()
    waiter.send(b"BLPOP l 0\r\n")
    waits(raw)
    raw.send(b"RPUSH l a\r\nLLEN l\r\nLPOP l\r\n")
    assert [raw.read() for _ in range(3)] == [1, 0, None] and waiter.read() == [b"l", b"a"]


def test_a_transaction_is_not_interrupted(connect, raw):
    waiter = connect()
    waiter.send(b"BLPOP l 0\r\n")
    waits(raw)
    raw.send(b"MULTI\r\nRPUSH l a\r\nLPOP l\r\nRPUSH l b c\r\nBLPOP none 0\r\nEXEC\r\n")
    assert [raw.read() for _ in range(6)][-1] == [1, b"a", 2, None]
    assert waiter.read() == [b"l", b"b"] and raw.call("LRANGE", "l", 0, -1) == [b"c"]


def test_first_come_first_served(connect, raw):
    waiters = [connect() for _ in range(3)]
    for i, waiter in enumerate(waiters):
        waiter.send(b"BLPOP l 0\r\n")
        waits(raw, i + 1)
    raw.call("RPUSH", "l", "1", "2")
    assert [waiter.read() for waiter in waiters[:2]] == [[b"l", b"1"], [b"l", b"2"]]
    raw.call("RPUSH", "l", "3")
    assert waiters[2].read() == [b"l", b"3"] and raw.call("EXISTS", "l") == 0


def test_other_ways_for_a_list_to_appear(connect, raw):
    for words in ("RENAME x l", "COPY x l", "LMOVE x l LEFT LEFT", "SORT x STORE l"):
        raw.call("FLUSHALL")
        raw.call("RPUSH", "x", "1")
        waiter = connect()
        waiter.send(b"BLPOP l 0\r\n")
        waits(raw)
        raw.call(*words.split())
        assert waiter.read() == [b"l", b"1"], words


def test_waiting_in_a_chain(connect, raw):
    first, second = connect(), connect()
    first.send(b"BLMOVE a b LEFT LEFT 0\r\n")
    waits(raw, 1)
    second.send(b"BLPOP b 0\r\n")
    waits(raw, 2)
    raw.call("RPUSH", "a", "x")
    assert first.read() == b"x" and second.read() == [b"b", b"x"] and raw.call("DBSIZE") == 0


def test_a_wait_goes_on_past_other_types(connect, raw):
    waiter = connect()
    waiter.send(b"BLPOP l m 0\r\n")
    waits(raw)
    raw.call("SET", "l", "v")
    raw.call("SADD", "m", "v")
    raw.call("DEL", "m")
    raw.call("RPUSH", "m", "1")
    assert waiter.read() == [b"m", b"1"]


def test_timeouts(both, raw):
    started = time.monotonic()
    assert both.blpop("l", 0.05) is None and both.blmove("l", "m", 0.05) is None
    assert both.blmpop(0.05, 1, "l", direction="LEFT") is None
    assert 0.14 < time.monotonic() - started < 60
    raw.send(b"BLPOP l 0.01\r\n")
    assert raw.line() == b"*-1"
    for text, error in (("x", "ERR timeout is not a float or out of range"), ("-1", "ERR timeout is negative"),
                        ("", "ERR timeout is not a float or out of range"),
                        ("1e300", "ERR timeout is out of range"),
                        ("nan", "ERR timeout is not a float or out of range")):
        assert raw.call("BLPOP", "l", text) == raw.call("BLMOVE", "l", "m", "LEFT", "LEFT", text) == error


def test_a_client_that_leaves_takes_nothing(connect, raw):
    waiter = connect()
    waiter.send(b"BLPOP l 0\r\n")
    waits(raw)
    waiter.close()
    waits(raw, 0)
    assert raw.call("RPUSH", "l", "1") == 1 and raw.call("LRANGE", "l", 0, -1) == [b"1"]


def test_unblock(connect, raw):
    for how, reply in (("TIMEOUT", b"*-1"), ("ERROR", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK")):
        waiter = connect()
        number = waiter.call("CLIENT", "ID")
        waiter.send(b"BLPOP l 0\r\n")
        waits(raw)
        assert raw.call("CLIENT", "UNBLOCK", number, how) == 1 and waiter.line() == reply
        assert raw.call("RPUSH", "l", "1") == 1 and raw.call("LPOP", "l") == b"1"


def test_quick_at_both_ends(both):
    pipe = both.pipeline(transaction=False)
    for i in range(0, 20_000, 1000):
        pipe.lpush("l", *range(1000))
        pipe.rpush("l", *range(1000))
    pipe.execute()
    before = both.info("cpu")["used_cpu_user"]
    pipe = both.pipeline(transaction=False)
    for _ in range(2000):
        pipe.lpush("l", 1)
        pipe.lpop("l")
        pipe.rpoplpush("l", "l")
        pipe.lrange("l", 0, 3)
        pipe.lrange("l", -3, -1)
    pipe.execute()
    assert both.info("cpu")["used_cpu_user"] - before < 10 and both.llen("l") == 40_000


@pytest.mark.parametrize("words", [
    "LPUSH s a", "RPUSH s a", "LPUSHX s a", "RPUSHX s a", "LPOP s", "RPOP s", "LPOP s 1", "LLEN s", "LINDEX s 0",
    "LSET s 0 a", "LRANGE s 0 1",
    "LTRIM s 0 1", "LREM s 0 a", "LINSERT s BEFORE a b", "LPOS s a", "LMOVE s t LEFT LEFT", "RPOPLPUSH s t",
    "LMPOP 1 s LEFT", "BLPOP s 1",
    "BRPOP s 1", "BLMOVE s t LEFT LEFT 1", "BRPOPLPUSH s t 1", "BLMPOP 1 1 s LEFT"])
def test_wrong_type(raw, words):
    raw.call("SET", "s", "v")
    assert raw.call(*words.split()) == WRONG
