"""Channels, patterns, shard channels and keyspace notifications."""
import pytest
from helpers import pack, wait_until


def test_subscribe_publish(raw, connect):
    listener = connect()
    listener.send(pack("SUBSCRIBE", "a", "b", "a"))
    assert [listener.read() for _ in range(3)] == [[b"subscribe", b"a", 1], [b"subscribe", b"b", 2], [b"subscribe", b"a", 2]]
    assert raw.call("PUBLISH", "a", b"\x00\xff") == 1
    assert raw.call("PUBLISH", "c", "x") == 0
    assert listener.read() == [b"message", b"a", b"\x00\xff"]
    listener.send(pack("UNSUBSCRIBE", "b"))
    assert listener.read() == [b"unsubscribe", b"b", 1]
    listener.send(pack("UNSUBSCRIBE"))
    assert listener.read() == [b"unsubscribe", b"a", 0]
    assert listener.call("UNSUBSCRIBE") == [b"unsubscribe", None, 0]
    assert listener.call("GET", "k") is None
    listener.send(pack("SUBSCRIBE", *"hgfedc") + pack("UNSUBSCRIBE"))
    assert [listener.read()[1] for _ in range(12)] == [c.encode() for c in "hgfedchgfedc"]


def test_patterns(raw, connect):
    listener = connect()
    listener.send(pack("SUBSCRIBE", "news") + pack("PSUBSCRIBE", "n?ws", "[a-m]*"))
    assert [listener.read()[2] for _ in range(3)] == [1, 2, 3]
    assert raw.call("PUBLISH", "news", "x") == 2
    assert [listener.read(), listener.read()] == [[b"message", b"news", b"x"], [b"pmessage", b"n?ws", b"news", b"x"]]
    assert raw.call("PUBLISH", "abc", "x") == 1
    assert listener.read() == [b"pmessage", b"[a-m]*", b"abc", b"x"]
    assert raw.call("PUBSUB", "NUMPAT") == 2
    assert listener.call("PUNSUBSCRIBE", "n?ws") == [b"punsubscribe", b"n?ws", 2]


def test_shard_channels(raw, connect):
    listener = connect()
    assert listener.call("SSUBSCRIBE", "s") == [b"ssubscribe", b"s", 1]
    assert raw.call("SPUBLISH", "s", "x") == 1 and raw.call("PUBLISH", "s", "x") == 0
    assert listener.read() == [b"smessage", b"s", b"x"]
    assert raw.call("PUBSUB", "SHARDCHANNELS") == [b"s"] and raw.call("PUBSUB", "SHARDNUMSUB", "s", "t") == [b"s", 1, b"t", 0]
    assert listener.call("SUNSUBSCRIBE") == [b"sunsubscribe", b"s", 0]


def test_pubsub_command(raw, connect):
    listener = connect()
    listener.send(pack("SUBSCRIBE", "a1", "a2", "b"))
    [listener.read() for _ in range(3)]
    assert sorted(raw.call("PUBSUB", "CHANNELS")) == [b"a1", b"a2", b"b"]
    assert sorted(raw.call("PUBSUB", "CHANNELS", "a*")) == [b"a1", b"a2"]
    assert raw.call("PUBSUB", "NUMSUB", "a1", "x") == [b"a1", 1, b"x", 0]
    assert raw.call("PUBSUB", "NUMSUB") == []
    assert raw.call("PUBSUB", "CHANNELS", "a",
                    "b") == "ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP."
    assert raw.call("PUBSUB", "FOO") == "ERR unknown subcommand 'FOO'. Try PUBSUB HELP."
    listener.close()
    wait_until(lambda: raw.call("PUBSUB", "CHANNELS") == [])


def test_what_a_subscriber_may_call_on_resp2(raw):
    raw.call("SUBSCRIBE", "a")
    assert raw.call("GET", "k") == (
        "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this " "context")
    assert raw.call("PING") == [b"pong", b""] and raw.call("PING", "x") == [b"pong", b"x"]
    assert raw.call("RESET") == "RESET" and raw.call("GET", "k") is None


def test_resp3_pushes_beside_replies(raw, raw3):
    assert raw3.call("SUBSCRIBE", "a") == ("push", [b"subscribe", b"a", 1])
    assert raw3.call("GET", "k") is None
    raw.call("PUBLISH", "a", "x")
    assert raw3.read() == ("push", [b"message", b"a", b"x"])
    raw3.send(pack("PUBLISH", "a", "self") + pack("ECHO", "e"))
    assert [raw3.read() for _ in range(3)] == [1, ("push", [b"message", b"a", b"self"]), b"e"]


def test_subscribe_inside_multi(raw3):
    raw3.call("MULTI")
    assert raw3.call("SUBSCRIBE", "a") == "QUEUED"
    assert raw3.call("EXEC")[0] == ("push", [b"subscribe", b"a", 1])


def test_redis_py(both):
    with both.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("a")
        wait_until(lambda: listener.get_message() is None and both.publish("a", "x") == 1)
        found = wait_until(lambda: listener.get_message(timeout=0.1))
        assert found["type"] == "message" and found["data"] == b"x"


class TestKeyspaceNotifications:
    @pytest.fixture(autouse=True)
    def restore(self, server, raw):
        yield
        raw.call("CONFIG", "SET", "notify-keyspace-events", "")

    def listen(self, raw, connect, letters, pattern="__key*__:*"):
        assert raw.call("CONFIG", "SET", "notify-keyspace-events", letters) == "OK"
        listener = connect()
        listener.call("PSUBSCRIBE", pattern)
        return listener

    def test_both_kinds_of_channel(self, raw, connect):
        listener = self.listen(raw, connect, "KEA")
        raw.call("SET", "k", "v")
        assert [listener.read()[2:] for _ in range(2)] == [[b"__keyspace@0__:k", b"set"], [b"__keyevent@0__:set", b"k"]]

    def test_events_of_commands(self, raw, connect):
        listener = self.listen(raw, connect, "EA", "__keyevent@0__:*")
        for command in (["SET", "k", "v"], ["EXPIRE", "k", "100"], ["RENAME", "k", "l"], ["DEL", "l"], ["HSET", "h", "f", "v"],
                        ["HDEL", "h", "f"]):
            raw.call(*command)
        raw.call("SET", "end", "")
        seen = []
        while not seen or seen[-1] != (b"set", b"end"):
            _, _, channel, key = listener.read()
            seen.append((channel.partition(b":")[2], key))
        assert seen == [(b"set", b"k"), (b"expire", b"k"), (b"rename_from", b"k"), (b"rename_to", b"l"), (b"del", b"l"),
                        (b"hset", b"h"),
                        (b"hdel", b"h"), (b"del", b"h"), (b"set", b"end")]

    def test_expired(self, raw, connect):
        listener = self.listen(raw, connect, "Ex")
        raw.call("SET", "k", "v", "PX", "10")
        assert listener.read()[2:] == [b"__keyevent@0__:expired", b"k"]

    def test_only_what_is_asked_for(self, raw, connect):
        listener = self.listen(raw, connect, "Eh")
        raw.call("SET", "k", "v")
        raw.call("HSET", "h", "f", "v")
        assert listener.read()[2:] == [b"__keyevent@0__:hset", b"h"]

    def test_the_directive(self, raw):
        raw.call("CONFIG", "SET", "notify-keyspace-events", "KEg$lshzxetd")
        assert raw.call("CONFIG", "GET", "notify-keyspace-events")[1] == b"AKE"
        error = raw.call("CONFIG", "SET", "notify-keyspace-events", "Q")
        assert "Invalid event class character" in error.text
