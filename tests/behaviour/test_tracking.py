"""CLIENT TRACKING: who is told that a key has changed, when, and how."""
import pytest
from helpers import pack, wait_until


def told(connection) -> list:
    """The keys of each message that has come, in order; None: all keys."""
    connection.send(pack("ECHO", "end"))
    found = []
    while (message := connection.read()) != b"end":
        kind, keys = message[1]
        assert message[0] == "push" and kind == b"invalidate"
        found.append(keys)
    return found


def redirected(listener) -> list:
    """The same on RESP2, from the channel."""
    listener.send(pack("PING", "end"))
    found = []
    while (message := listener.read()) != [b"pong", b"end"]:
        kind, channel, keys = message
        assert (kind, channel) == (b"message", b"__redis__:invalidate")
        found.append(keys)
    return found


def test_readers_are_told_once(raw, raw3):
    assert raw3.call("CLIENT", "TRACKING", "ON") == "OK"
    raw.call("MSET", "a", 1, "b", 2, "c", 3)
    assert raw3.call("MGET", "a", "b", "gone") == [b"1", b"2", None]
    raw.call("MSET", "a", 2, "c", 4)
    raw.call("SET", "a", 3)
    assert told(raw3) == [[b"a"]]
    raw.call("EXPIRE", "b", 100)
    raw.call("SELECT", 1)
    raw.call("SET", "gone", 1)                  # keys of all databases are one
    assert told(raw3) == [[b"b"], [b"gone"]]
    raw.call("SELECT", 0)
    raw3.call("GET", "a")
    raw.call("FLUSHALL")
    assert told(raw3) == [None]
    raw.call("SET", "a", 1)
    assert told(raw3) == []


def test_pipelines_of_others_are_seen(raw, raw3):
    raw3.call("CLIENT", "TRACKING", "ON")
    raw3.call("GET", "k7")
    raw.send(b"".join(pack("SET", f"k{i}", i) for i in range(50)))
    assert [raw.read() for _ in range(50)] == ["OK"] * 50
    assert told(raw3) == [[b"k7"]]


def test_own_changes_come_behind_the_reply(raw3):
    raw3.call("CLIENT", "TRACKING", "ON")
    raw3.call("HSET", "h", "f", 1)
    raw3.call("HGET", "h", "f")
    raw3.send(pack("HDEL", "h", "f") + pack("PING"))
    assert [raw3.read() for _ in range(3)] == [1, ("push", [b"invalidate", [b"h"]]), "PONG"]
    raw3.call("GET", "a")
    raw3.send(pack("MULTI") + pack("INCR", "a") + pack("GET", "b") + pack("FLUSHDB") + pack("EXEC"))
    assert [raw3.read() for _ in range(7)] == ["OK", *["QUEUED"] * 3, [1, None, "OK"], ("push", [b"invalidate", [b"a"]]),
                                               ("push", [b"invalidate", None])]


def test_noloop(raw, raw3):
    raw3.call("CLIENT", "TRACKING", "ON", "NOLOOP")
    raw3.call("MGET", "a", "b", "c")
    raw3.call("SET", "a", 1)
    raw.call("SET", "b", 1)
    assert told(raw3) == [[b"b"]]
    raw3.call("SET", "c", 1)
    assert told(raw3) == []
    left, ms = 0, 30
    while left <= 0:                            # it has to be there when it is read, however slow the machine is
        raw3.send(pack("SET", "d", 1, "PX", ms) + pack("GET", "d") + pack("PTTL", "d"))     # its end is nobody's doing
        (*_, left), ms = [raw3.read() for _ in range(3)], 4 * ms
    wait_until(lambda: raw.call("EXISTS", "d") == 0)
    assert told(raw3) == [[b"d"]]


@pytest.mark.parametrize("option, mode, wanted", [("OPTIN", "YES", [[b"b"], [b"c"], [b"e"]]), ("OPTOUT", "NO", [[b"a"], [b"d"]])])
def test_opt(raw, raw3, option, mode, wanted):
    raw3.call("CLIENT", "TRACKING", "ON", option)
    raw3.call("GET", "a")
    assert raw3.call("CLIENT", "CACHING", mode) == "OK"
    flags = [b"on", option.lower().encode(), b"caching-" + mode.lower().encode()]
    assert raw3.call("CLIENT", "TRACKINGINFO")[b"flags"] == ("set", flags)
    raw3.call("MGET", "b", "c")
    raw3.call("GET", "d")
    for words in (("CLIENT", "CACHING", mode), ("MULTI",), ("GET", "e"), ("EXEC",)):
        raw3.call(*words)
    for key in "abcde":
        raw.call("SET", key, 1)
    assert told(raw3) == wanted


def test_broadcast(raw, raw3, connect):
    other = connect()
    other.call("HELLO", 3)
    assert raw3.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "u:", "PREFIX", "v:", "NOLOOP") == "OK"
    assert raw3.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "w:", "NOLOOP") == "OK"
    assert raw3.call("CLIENT", "TRACKINGINFO") == {b"flags": ("set", [b"on", b"bcast", b"noloop"]), b"redirect": 0,
                                                   b"prefixes": [b"u:", b"v:", b"w:"]}
    assert other.call("CLIENT", "TRACKING", "ON", "BCAST") == "OK"
    raw.call("MSET", "u:1", 1, "u:2", 2, "w:1", 3, "x", 4)
    assert told(raw3) == [[b"u:1", b"u:2"], [b"w:1"]] and told(other) == [[b"u:1", b"u:2", b"w:1", b"x"]]
    raw3.call("SET", "v:1", 1)
    assert told(raw3) == [] and told(other) == [[b"v:1"]]
    info = raw.call("INFO").decode()
    assert "tracking_clients:2\r\n" in info and "tracking_total_prefixes:4\r\n" in info
    other.call("CLIENT", "TRACKING", "OFF")
    raw.call("SET", "u:1", 2)
    assert told(other) == [] and told(raw3) == [[b"u:1"]]


@pytest.mark.parametrize("proto", [2, 3])
def test_redirect(raw, connect, proto):
    listener, reader = connect(), connect()
    number = listener.call("CLIENT", "ID")
    reader.call("HELLO", proto)
    listener.call("SUBSCRIBE", "__redis__:invalidate")
    assert reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == "OK" and reader.call("CLIENT", "GETREDIR") == number
    reader.call("MGET", "a", "b")
    raw.call("SET", "a", 1)
    reader.call("SET", "b", 1)
    raw.call("FLUSHDB")
    assert redirected(listener) == [[b"a"], [b"b"], None]
    line = dict(field.split(b"=", 1)
                for field in (reader.call("CLIENT", "INFO") if proto == 2 else reader.call("CLIENT", "INFO")[1]).split())
    assert line[b"flags"] == b"t" and line[b"redir"] == b"%d" % number
    reader.call("GET", "a")
    listener.close()
    wait_until(lambda: raw.call("CLIENT", "LIST", "ID", number) in (b"", ("txt", b"")))
    raw.call("SET", "a", 2)
    if proto == 3:
        assert reader.read() == ("push", [b"tracking-redir-broken", number])
    assert reader.call("CLIENT", "INFO") and b"broken_redirect" in str(reader.call("CLIENT", "TRACKINGINFO")).encode()


def test_resp2_without_redirection_hears_nothing(raw, connect):
    reader = connect()
    reader.call("CLIENT", "TRACKING", "ON")
    reader.call("GET", "a")
    raw.call("SET", "a", 1)
    assert reader.call("PING") == "PONG"


def test_scripts_track_what_they_read(raw, raw3):
    raw3.call("CLIENT", "TRACKING", "ON")
    if "ERR" in str(raw3.call("EVAL", "redis.call('set', 'x', 1)", 2, "a", "b")):
        pytest.skip("needs lupa")
    raw3.call("EVAL_RO", "return redis.call('get', KEYS[2])", 2, "a", "b")
    raw.call("MSET", "a", 1, "b", 1)
    assert told(raw3) == [[b"b"]]


def test_waiting_clients_are_told_behind_their_reply(raw, raw3):
    raw.call("RPUSH", "to", "a")
    raw3.call("CLIENT", "TRACKING", "ON")
    raw3.call("LRANGE", "to", 0, -1)
    raw3.send(pack("BLMOVE", "from", "to", "LEFT", "LEFT", 0))
    wait_until(lambda: b"blocked_clients:1" in raw.call("INFO", "clients"))
    raw.call("RPUSH", "from", "x")
    assert [raw3.read(), raw3.read()] == [b"x", ("push", [b"invalidate", [b"to"]])]
    raw3.send(pack("XREAD", "BLOCK", 0, "STREAMS", "s", "0"))
    wait_until(lambda: b"blocked_clients:1" in raw.call("INFO", "clients"))
    raw.call("XADD", "s", "1-1", "f", "v")
    raw3.read()
    raw.call("DEL", "s")
    assert told(raw3) == [[b"s"]]


def test_a_full_table_forgets(raw, raw3):
    raw3.call("CLIENT", "TRACKING", "ON")
    raw3.call("MGET", *(f"k{i}" for i in range(300)))
    assert b"tracking_total_keys:300\r\ntracking_total_items:300\r\n" in raw.call("INFO", "stats")
    try:
        raw.call("CONFIG", "SET", "tracking-table-max-keys", 10)
        wait_until(lambda: b"tracking_total_keys:10\r\n" in raw.call("INFO", "stats"))
        assert told(raw3) == [[b"k%d" % i] for i in range(290)]
    finally:
        raw.call("CONFIG", "SET", "tracking-table-max-keys", 1000000)


def test_nothing_is_kept_when_nobody_tracks(raw, raw3):
    raw3.call("CLIENT", "TRACKING", "ON")
    raw3.call("MGET", "a", "b")
    assert raw3.call("CLIENT", "TRACKING", "OFF") == "OK" and raw3.call("CLIENT", "GETREDIR") == -1
    assert raw3.call("CLIENT", "TRACKINGINFO") == {b"flags": ("set", [b"off"]), b"redirect": -1, b"prefixes": []}
    raw.call("SET", "a", 1)
    assert told(raw3) == [] and b"tracking_total_keys:0\r\n" in raw.call("INFO", "stats")
    raw3.call("CLIENT", "TRACKING", "ON", "BCAST")
    raw3.call("RESET")
    raw3.call("HELLO", 3)
    raw.call("SET", "a", 1)
    assert told(raw3) == []


_OVERLAP = "ERR Prefix '{}' overlaps with {} prefix '{}'. Prefixes for a single client must not overlap."


@pytest.mark.parametrize("before, words, error", [
    ([], ["MAYBE"], "ERR syntax error"),
    ([], ["ON", "PREFIX"], "ERR syntax error"),
    ([], ["ON", "REDIRECT", "x"], "ERR value is not an integer or out of range"),
    ([], ["ON", "REDIRECT", "987654"], "ERR The client ID you want redirect to does not exist"),
    ([], ["ON", "PREFIX", "a"], "ERR PREFIX option requires BCAST mode to be enabled"),
    ([], ["ON", "OPTIN", "OPTOUT"], "ERR You can't specify both OPTIN mode and OPTOUT mode"),
    ([], ["ON", "OPTIN", "BCAST"], "ERR OPTIN and OPTOUT are not compatible with BCAST"),
    ([], ["ON", "BCAST", "PREFIX", "FOOBAR", "PREFIX", "FOO"], _OVERLAP.format("FOOBAR", "another provided", "FOO")),
    (["ON", "BCAST", "PREFIX", "FOO"], ["ON", "BCAST", "PREFIX", "FO"], _OVERLAP.format("FO", "an existing", "FOO")),
    (["ON", "BCAST"], ["ON"], "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
                              "re-enabling it with a different mode."),
    (["ON", "OPTIN"], ["ON", "OPTOUT"],
     "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
     "re-enabling it with a different mode."),])
def test_refused(raw, before, words, error):
    if before:
        assert raw.call("CLIENT", "TRACKING", *before) == "OK"
    assert raw.call("CLIENT", "TRACKING", *words) == error


def test_caching_refused(raw):
    assert raw.call("CLIENT", "CACHING", "YES") == (
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or " "OPTOUT mode enabled")
    raw.call("CLIENT", "TRACKING", "ON", "OPTOUT")
    assert raw.call("CLIENT", "CACHING", "YES") == "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
    assert raw.call("CLIENT", "CACHING", "MAYBE") == "ERR syntax error"
    raw.call("CLIENT", "TRACKING", "OFF")
    raw.call("CLIENT", "TRACKING", "ON", "OPTIN")
    assert raw.call("CLIENT", "CACHING", "NO") == "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
