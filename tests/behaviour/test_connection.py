"""HELLO, AUTH, PING and the like, and CLIENT."""
import time

import pytest
from helpers import PATIENCE, pack, wait_until


def fields(line: bytes) -> dict:
    return dict(pair.split("=", 1) for pair in line.decode().strip().split(" "))


def test_ping_echo(both):
    assert both.ping() is True
    assert both.echo("a\r\nb") == b"a\r\nb"


def test_ping_with_a_message(raw):
    assert raw.call("PING", "hello") == b"hello"
    assert raw.call("PING", "a", "b") == "ERR wrong number of arguments for 'ping' command"


def test_names_in_any_case(raw):
    assert raw.call("pInG") == "PONG" and raw.call("cLIENT", "gEtNaMe") is None


def test_unknown_command(raw):
    assert raw.call("NOSUCH") == "ERR unknown command 'NOSUCH', with args beginning with: "
    assert raw.call("nosuch", "a b", "c") == "ERR unknown command 'nosuch', with args beginning with: 'a b' 'c' "
    long = raw.call("x" * 200, "y" * 200, "z")
    assert long == f"ERR unknown command '{'x' * 128}', with args beginning with: '{'y' * 128}' "


def test_unknown_subcommand(raw):
    assert raw.call("CLIENT", "FOO") == "ERR unknown subcommand 'FOO'. Try CLIENT HELP."
    assert raw.call("CLIENT") == "ERR wrong number of arguments for 'client' command"
    assert raw.call("CLIENT", "MAINT_NOTIFICATIONS", "ON") == "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."
    assert raw.call("CLIENT", "SETNAME") == "ERR wrong number of arguments for 'client|setname' command"


class TestHello:
    def test_without_words_keeps_the_protocol(self, raw):
        reply = raw.call("HELLO")
        assert reply[0:2] == [b"server", b"redis"] and dict(zip(reply[::2], reply[1::2]))[b"proto"] == 2

    def test_three(self, raw):
        reply = raw.call("HELLO", "3")
        assert reply[b"proto"] == 3 and reply[b"mode"] == b"standalone" and reply[b"role"] == b"master"
        assert all(part.isdigit() for part in reply[b"version"].split(b"."))
        assert isinstance(reply[b"modules"], list) and isinstance(reply[b"id"], int)
        assert raw.call("GET", "none") is None
        assert raw.call("HELLO", "2")[0] == b"server"

    def test_setname(self, raw):
        raw.call("HELLO", "3", "SETNAME", "me")
        assert raw.call("CLIENT", "GETNAME") == b"me"

    @pytest.mark.parametrize("words, error", [
        (("4",), "NOPROTO unsupported protocol version"), (("1",), "NOPROTO unsupported protocol version"),
        (("x",), "ERR Protocol version is not an integer or out of range"),
        (("3", "foo"), "ERR Syntax error in HELLO option 'foo'"),
        (("3", "auth", "a"), "ERR Syntax error in HELLO option 'auth'"),
        (("3", "AUTH", "a", "b"), "WRONGPASS invalid username-password pair or user is disabled."),
        (("3", "SETNAME", "a b"), "ERR Client names cannot contain spaces, newlines or special characters."),
    ])
    def test_errors_leave_the_protocol(self, raw, words, error):
        assert raw.call("HELLO", *words) == error
        raw.call("SET", "k", "v")
        raw.send(pack("HGETALL", "none"))
        assert raw.line() == b"*0"


def test_auth_without_a_password(raw):
    assert raw.call("AUTH",
                    "x") == ("ERR AUTH <password> called without any password configured for the default user. Are you sure your "
                                     "configuration is correct?")
    assert raw.call("AUTH", "default", "x") == "OK"
    assert raw.call("AUTH", "nobody", "x") == "WRONGPASS invalid username-password pair or user is disabled."
    assert raw.call("AUTH", "a", "b", "c") == "ERR syntax error"


def test_select(raw):
    raw.call("SET", "k", "0")
    assert raw.call("SELECT", "3") == "OK"
    assert raw.call("GET", "k") is None
    assert raw.call("SELECT", "16") == "ERR DB index is out of range"
    assert raw.call("SELECT", "-1") == "ERR DB index is out of range"
    assert raw.call("SELECT", "x") == "ERR value is not an integer or out of range"
    assert "db=3" in raw.call("CLIENT", "INFO").decode()


def test_quit(raw):
    raw.send(pack("QUIT") + pack("PING"))
    assert raw.read() == "OK" and raw.is_closed() and raw.buffer == b""


def test_reset(raw):
    raw.call("HELLO", "3", "SETNAME", "me")
    raw.call("SELECT", "2")
    raw.call("SUBSCRIBE", "c")
    raw.call("MULTI")
    assert raw.call("RESET") == "RESET"
    info = fields(b" ".join(raw.call("CLIENT", "INFO").split()))
    assert (info["db"], info["name"], info["sub"], info["multi"], info["resp"]) == ("0", "", "0", "-1", "2")


class TestClient:
    def test_info_and_list(self, raw, connect):
        other = connect()
        other.call("CLIENT", "SETNAME", "other")
        other.call("CLIENT", "SETINFO", "LIB-NAME", "lib")
        other.call("CLIENT", "SETINFO", "lib-ver", "1.2")
        number = other.call("CLIENT", "ID")
        lines = [fields(line) for line in raw.call("CLIENT", "LIST").splitlines()]
        found = next(line for line in lines if line["id"] == str(number))
        assert found["name"] == "other" and found["lib-name"] == "lib" and found["lib-ver"] == "1.2"
        assert found["cmd"] == "client|id" and found["resp"] == "2" and found["user"] == "default" and found["flags"] == "N"
        assert found["addr"].startswith("127.0.0.1:") and found["laddr"].startswith("127.0.0.1:")
        assert raw.call("CLIENT", "LIST", "ID", number, 999999).count(b"\n") == 1
        assert raw.call("CLIENT", "LIST", "TYPE", "pubsub") == b""
        assert fields(raw.call("CLIENT", "INFO"))["cmd"] == "client|info"

    def test_list_is_verbatim_on_resp3(self, raw3):
        kind, text = raw3.call("CLIENT", "LIST")
        assert kind == "txt" and text.startswith(b"id=")

    @pytest.mark.parametrize("words, error", [
        (("LIST", "foo"), "ERR syntax error"), (("LIST", "ID", "a"), "ERR Invalid client ID"),
        (("LIST", "TYPE", "x"), "ERR Unknown client type 'x'"),
        (("KILL", "1.1.1.1:1"), "ERR No such client"), (("KILL", "ID", "x"), "ERR client-id should be greater than 0"),
        (("KILL", "ID", "0"), "ERR client-id should be greater than 0"), (("KILL", "foo", "bar"), "ERR syntax error"),
        (("KILL", "SKIPME", "foo"), "ERR syntax error"), (("KILL", "USER", "x"), "ERR No such user 'x'"),
        (("REPLY", "x"), "ERR syntax error"),
        (("PAUSE", "x"), "ERR timeout is not an integer or out of range"), (("PAUSE", "-1"), "ERR timeout is negative"),
        (("UNBLOCK", "x"), "ERR value is not an integer or out of range"),
        (("UNBLOCK", "1", "x"), "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        (("SETNAME", "a b"), "ERR Client names cannot contain spaces, newlines or special characters."),
        (("SETINFO", "a", "b"), "ERR Unrecognized option 'a'"),
        (("SETINFO", "lib-ver", "a b"), "ERR lib-ver cannot contain spaces, newlines or special characters."),
        (("NO-EVICT", "x"), "ERR syntax error"), (("NO-TOUCH", "x"), "ERR syntax error"),
    ])
    def test_errors(self, raw, words, error):
        assert raw.call("CLIENT", *words) == error

    def test_kill(self, raw, connect):
        first, second = connect(), connect()
        address = fields(first.call("CLIENT", "INFO"))["addr"]
        assert raw.call("CLIENT", "KILL", address) == "OK" and first.is_closed()
        number = second.call("CLIENT", "ID")
        assert raw.call("CLIENT", "KILL", "ID", number, "MAXAGE", "1000") == 0
        assert raw.call("CLIENT", "KILL", "ID", number, "TYPE", "normal") == 1 and second.is_closed()
        own = raw.call("CLIENT", "ID")
        assert raw.call("CLIENT", "KILL", "ID", own) == 0
        assert raw.call("CLIENT", "KILL", "ID", own, "SKIPME", "no") == 1 and raw.is_closed()

    def test_reply(self, raw):
        raw.send(pack("CLIENT", "REPLY", "OFF") + pack("PING") + pack("NOSUCH") + pack("CLIENT", "REPLY", "ON")
                 + pack("ECHO", "a"))
        assert [raw.read(), raw.read()] == ["OK", b"a"]
        raw.send(pack("CLIENT", "REPLY", "SKIP") + pack("ECHO", "hidden") + pack("ECHO", "shown"))
        assert raw.read() == b"shown"

    def test_no_evict_no_touch(self, raw):
        assert raw.call("CLIENT", "NO-EVICT", "on") == "OK" and raw.call("CLIENT", "NO-TOUCH", "on") == "OK"
        assert fields(raw.call("CLIENT", "INFO"))["flags"] == "eT"

    def test_unblock_somebody_who_does_not_wait(self, raw, connect):
        assert raw.call("CLIENT", "UNBLOCK", connect().call("CLIENT", "ID")) == 0

    def test_pause_all(self, raw, connect):
        other = connect()
        assert raw.call("CLIENT", "PAUSE", "100000") == "OK"
        other.send(pack("PING") + pack("ECHO", "a"))
        other.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            other.read()
        other.socket.settimeout(PATIENCE)
        assert raw.call("CLIENT", "UNPAUSE") == "OK"
        assert [other.read(), other.read()] == ["PONG", b"a"]

    def test_pause_write_ends_by_itself(self, raw, connect):
        reader, writer = connect(), connect()
        assert raw.call("CLIENT", "PAUSE", "100000", "WRITE") == "OK"
        writer.send(pack("SET", "k", "v"))
        writer.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            writer.read()
        writer.socket.settimeout(PATIENCE)
        assert reader.call("GET", "k") is None
        assert raw.call("CLIENT", "UNPAUSE") == "OK" and writer.read() == "OK"
        start = time.monotonic()
        assert raw.call("CLIENT", "PAUSE", "150", "WRITE") == "OK"
        assert writer.call("SET", "k", "v") == "OK" and time.monotonic() - start >= 0.14

    def test_help(self, raw):
        lines = raw.call("CLIENT", "HELP")
        assert lines[0] == "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
        assert lines[-2:] == ["HELP", "    Print this help."]


def test_a_client_that_leaves_is_forgotten(raw, connect):
    connect_count = len(raw.call("CLIENT", "LIST").splitlines())
    other = connect()
    other.call("PING")
    assert len(raw.call("CLIENT", "LIST").splitlines()) == connect_count + 1
    other.close()
    wait_until(lambda: len(raw.call("CLIENT", "LIST").splitlines()) == connect_count)


def test_pipeline_of_many_commands(raw):
    raw.send(b"".join(pack("SET", f"k{i % 50}", i) for i in range(5000)) + pack("ECHO", "end"))
    assert [raw.read() for _ in range(5001)] == ["OK"] * 5000 + [b"end"]


def test_redis_py_connects_as_it_does_by_default(server):
    import redis
    with redis.Redis(host=server.host, port=server.port, client_name="me") as client:
        assert client.ping() and client.client_info()["name"] == "me" and client.client_info()["lib-name"].startswith("redis-py")
