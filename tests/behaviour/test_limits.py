"""Limits and life cycle: buffers, clients, passwords, files, signals. Servers of our own, with options."""
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import PATIENCE, ROOT, RawConnection, pack, running_server, wait_until


@pytest.fixture(autouse=True)
def only_ours(request):
    if request.config.getoption("--server"):
        pytest.skip("starts servers of its own")


def open_(server, **options):
    return RawConnection(server.host, server.port, **options)


class TestProtocolErrors:
    @pytest.mark.parametrize("data, text", [
        (b"*x\r\n", "invalid multibulk length"), (b"*20000000000\r\n", "invalid multibulk length"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"), (b"*1\r\n$-10\r\n", "invalid bulk length"),
        (b"*1\r\n$blabla\r\n", "invalid bulk length"), (b"*2\r\n$4\r\nECHO\r\n$20000000000\r\n", "invalid bulk length"),
        (b"x" * 70000, "too big inline request"), (b'set """a""" b\r\n', "unbalanced quotes in request"),
        (b"*" + b"1" * 70000, "too big mbulk count string"), (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
    ])
    def test_text_and_close(self, raw, data, text):
        raw.send(data)
        assert raw.read() == "ERR Protocol error: " + text and raw.is_closed()

    def test_commands_before_it_are_answered(self, raw):
        raw.send(pack("SET", "a", "1") + pack("GET", "a") + b"*1\r\nx\r\n" + pack("SET", "a", "2"))
        assert [raw.read() for _ in range(3)] == ["OK", b"1", "ERR Protocol error: expected '$', got 'x'"]
        assert raw.is_closed()

    def test_nothing_is_held_for_announced_sizes(self, raw, connect):
        connect().send(b"*2147483647\r\n$1\r\na\r\n")
        connect().send(pack("PING") + b"*2147483647\r\n$500000000\r\na")
        before = int(raw.call("INFO", "memory").split(b"used_memory:")[1].split()[0])
        assert raw.call("PING") == "PONG" and before < 500 << 20

    def test_max_bulk_len(self, raw, connect):
        raw.call("CONFIG", "SET", "proto-max-bulk-len", "1mb")
        other = connect()
        other.send(pack("ECHO", b"x" * (1 << 20)))
        assert len(other.read()) == 1 << 20
        other.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
        assert other.read() == "ERR Protocol error: invalid bulk length"
        raw.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
        assert raw.read() == "ERR Protocol error: invalid bulk length"
        connect().call("CONFIG", "SET", "proto-max-bulk-len", "512mb")


class TestOutput:
    def test_a_reader_who_stops_is_waited_for(self, raw, connect):
        raw.call("SET", "big", b"z" * 1_000_000)
        slow = connect()
        slow.send(pack("GET", "big") * 40 + pack("ECHO", "end"))
        wait_until(lambda: any(b"omem=0" not in line for line in raw.call("CLIENT", "LIST").splitlines()))
        assert raw.call("PING") == "PONG"
        held = [int(line.split(b"omem=")[1].split()[0]) for line in raw.call("CLIENT", "LIST").splitlines()]
        assert max(held) < 8_000_000
        assert all(len(slow.read()) == 1_000_000 for _ in range(40)) and slow.read() == b"end"

    def test_hard_limit_of_subscribers(self, raw, connect):
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 3mb 0 0")
        listener = connect()
        listener.call("SUBSCRIBE", "c")
        for _ in range(200):
            if raw.call("PUBLISH", "c", b"x" * 500_000) == 0:
                break
        else:
            pytest.fail("the subscriber was not closed")
        assert listener.is_closed()
        found = raw.call("INFO", "stats")
        assert b"client_output_buffer_limit_disconnections:1" in found
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")

    def test_soft_limit_of_subscribers(self, raw, connect):
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1000")
        listener = connect()
        listener.call("SUBSCRIBE", "c")
        for _ in range(30):
            raw.call("PUBLISH", "c", b"x" * 500_000)
        assert raw.call("PUBSUB", "NUMSUB", "c") == [b"c", 1]
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1")
        wait_until(lambda: raw.call("PUBSUB", "NUMSUB", "c") == [b"c", 0])
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")

    def test_hard_limit_of_normal_clients(self, raw, connect):
        raw.call("SET", "big", b"z" * 30_000_000)
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "normal 10mb 0 0")
        greedy = connect()
        greedy.send(pack("GET", "big"))
        assert greedy.is_closed() and len(greedy.buffer) < 30_000_000
        raw.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")

    def test_query_buffer_limit(self, raw, connect):
        raw.call("CONFIG", "SET", "client-query-buffer-limit", "1mb")
        greedy = connect()
        greedy.send(b"*2\r\n$4\r\nECHO\r\n$8000000\r\n")
        with pytest.raises(OSError):
            for _ in range(10_000):
                greedy.send(b"x" * 100_000)
        connect().call("CONFIG", "SET", "client-query-buffer-limit", "1gb")

    @pytest.mark.parametrize("bulk, n", [(b"$1000\r\n" + b"x" * 1000 + b"\r\n", 10), (b"$0\r\n\r\n", 2000)],
                             ids=["long", "empty"])
    def test_the_words_of_an_unfinished_command_count(self, raw, connect, bulk, n):
        raw.call("CONFIG", "SET", "client-query-buffer-limit", "1mb")
        closed = int(raw.call("INFO", "stats").split(b"client_query_buffer_limit_disconnections:")[1].split()[0])
        greedy = connect()
        greedy.send(b"*1000000\r\n")
        with pytest.raises(OSError):
            for _ in range(100_000):
                greedy.send(bulk * n)
        after = int(raw.call("INFO", "stats").split(b"client_query_buffer_limit_disconnections:")[1].split()[0])
        assert after == closed + 1
        patient = connect()
        patient.send(b"*901\r\n" + pack("DEL")[4:])
        for _ in range(9):
            patient.send(b"$1000\r\n" + b"x" * 1000 + b"\r\n" * 1)
            assert raw.call("PING") == "PONG"
        patient.send((b"$1000\r\n" + b"x" * 1000 + b"\r\n") * 891)
        assert patient.read() == 0
        connect().call("CONFIG", "SET", "client-query-buffer-limit", "1gb")


def test_maxclients():
    with running_server("--maxclients", "2") as server, open_(server) as first, open_(server) as second:
        assert first.call("PING") == second.call("PING") == "PONG"
        with open_(server) as third:
            assert third.read() == "ERR max number of clients reached" and third.is_closed()
        assert first.call("CONFIG", "SET", "maxclients", "3") == "OK"
        with open_(server) as third:
            assert third.call("PING") == "PONG"
        assert b"rejected_connections:1" in first.call("INFO", "stats")


def test_idle_clients_are_closed():
    with running_server() as server, open_(server) as idle, open_(server) as listener:
        listener.call("SUBSCRIBE", "c")
        assert idle.call("CONFIG", "SET", "timeout", "1") == "OK"
        assert idle.is_closed()
        listener.send(pack("PING"))
        assert listener.read() == [b"pong", b""]


@pytest.fixture(scope="module")
def secured():
    with running_server("--requirepass", "secret word") as server:
        yield server


class TestPassword:
    def test_auth(self, secured):
        with open_(secured) as raw:
            assert raw.call("PING") == raw.call("GET", "k") == "NOAUTH Authentication required."
            assert raw.call("GET") == "ERR wrong number of arguments for 'get' command"
            assert raw.call("AUTH", "wrong") == "WRONGPASS invalid username-password pair or user is disabled."
            assert raw.call("AUTH", "secret word") == "OK" and raw.call("PING") == "PONG"
            assert raw.call("RESET") == "RESET" and raw.call("PING") == "NOAUTH Authentication required."
            assert raw.call("AUTH", "default", "secret word") == "OK"
            assert raw.call("ACL", "LIST")[0].startswith(
                b"user default on sanitize-payload #21acb28c0de059965b475b0746d0b0284c60cca6")

    def test_hello(self, secured):
        with open_(secured) as raw:
            assert raw.call("HELLO", "3").text.startswith("NOAUTH HELLO must be called with the client already authenticated")
            assert raw.call("HELLO", "3", "AUTH", "default", "x").text.startswith("WRONGPASS")
            assert raw.call("HELLO", "3", "AUTH", "default", "secret word", "SETNAME", "me")[b"proto"] == 3

    def test_pipelined_behind_auth(self, secured):
        with open_(secured) as raw:
            raw.send(pack("AUTH", "secret word") + pack("SET", "k", b"x" * 100_000) + pack("STRLEN", "k")
                     + pack("DEL", *range(30)))
            assert [raw.read() for _ in range(4)] == ["OK", "OK", 100_000, 0]

    def test_limits_before_auth(self, secured):
        with open_(secured) as raw:
            raw.send(pack(*range(11)))
            assert raw.read() == "ERR Protocol error: unauthenticated multibulk length" and raw.is_closed()
        with open_(secured) as raw:
            raw.send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n")
            assert raw.read() == "ERR Protocol error: unauthenticated bulk length" and raw.is_closed()


def test_unix_socket(tmp_path):
    path = str(tmp_path / "s")
    with running_server("--unixsocket", path, "--unixsocketperm", "700") as server:
        with RawConnection(path=path) as raw:
            assert raw.call("SET", "a", "1") == "OK"
            assert f"addr={path}:0" in raw.call("CLIENT", "INFO").decode() and "flags=U " in raw.call("CLIENT", "INFO").decode()
            assert Path(path).stat().st_mode & 0o777 == 0o700
        with open_(server) as watcher, RawConnection(path=path) as raw:
            watcher.call("MONITOR")
            raw.call("PING")
            assert watcher.line().endswith(f'[0 unix:{path}] "PING"'.encode())
        server.stop()
    assert not Path(path).exists()


def test_databases():
    with running_server("--databases", "3") as server, open_(server) as raw:
        assert raw.call("SELECT", "2") == "OK" and raw.call("SELECT", "3") == "ERR DB index is out of range"


class TestLife:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signals_end_it_in_good_order(self, number):
        with running_server() as server, open_(server) as raw:
            assert raw.call("PING") == "PONG"
            assert server.stop(number) == 0 and raw.is_closed()
            assert "scheduling shutdown" in server.log() and "bye bye" in server.log()

    def test_shutdown(self):
        with running_server() as server, open_(server) as raw:
            raw.send(pack("SHUTDOWN", "NOSAVE"))
            assert raw.is_closed() and raw.buffer == b"" and server.process.wait(PATIENCE) == 0

    def test_log_lines_and_levels(self):
        with running_server("--loglevel", "warning") as server, open_(server) as raw:
            assert "Ready to accept connections" not in server.log()
            raw.call("DEBUG", "LOG", "hello")
            wait_until(lambda: "# DEBUG LOG: hello" in server.log())

    def test_pidfile_and_dir(self, tmp_path):
        pidfile = tmp_path / "pid"
        with running_server("--pidfile", str(pidfile), "--dir", str(tmp_path / "new" / "dir")) as server:
            assert int(pidfile.read_text()) == server.process.pid and (tmp_path / "new" / "dir").is_dir()
            with open_(server) as raw:
                assert raw.call("CONFIG", "GET", "dir")[1].decode() == str(tmp_path / "new" / "dir")
            server.stop()
        assert not pidfile.exists()

    def test_an_internal_error_does_not_end_the_connection(self):
        """DEBUG SLEEP takes no infinity: time.sleep raises what no command expects."""
        with running_server() as server, open_(server) as raw:
            assert raw.call("DEBUG", "SLEEP", "inf").text.startswith("ERR internal error: ")
            assert raw.call("PING") == "PONG" and "Traceback" in server.log()


class TestFile:
    def test_file_then_options(self, tmp_path):
        (tmp_path / "more.conf").write_text('timeout 77\n')
        conf = tmp_path / "redis.conf"
        conf.write_text(
            '# a comment\ninclude more.conf\nmaxclients 50\n\nclient-output-buffer-limit pubsub 1mb 0 0\nslowlog-max-len 9\n'
            'logfile ""\nhz 20\nsave ""\n')
        with ConfiguredServer(conf, "--hz", "30") as raw:
            found = raw.call("CONFIG", "GET", "timeout", "maxclients", "hz", "slowlog-max-len")
            assert dict(zip(found[::2], found[1::2])) == {b"timeout": b"77", b"maxclients": b"50", b"hz": b"30",
                                                          b"slowlog-max-len": b"9"}
            assert b"pubsub 1048576 0 0" in raw.call("CONFIG", "GET", "client-output-buffer-limit")[1]
            assert f"config_file:{conf}".encode() in raw.call("INFO", "server")

    def test_rewrite(self, tmp_path):
        conf = tmp_path / "redis.conf"
        conf.write_text("# kept\nhz 20\n\ntimeout 5\nhz 25\n")
        with ConfiguredServer(conf) as raw:
            assert raw.call("CONFIG", "SET", "timeout", "6", "requirepass", 'a "b"\n', "maxmemory", "20gb") == "OK"
            assert raw.call("CONFIG", "REWRITE") == "OK"
        lines = written(conf)
        assert lines[:4] == ["# kept", "hz 25", "", "timeout 6"]
        assert 'requirepass "a \\"b\\"\\n"' in lines and f"maxmemory {20 << 30}" in lines
        with ConfiguredServer(conf) as raw:
            assert raw.call("AUTH", 'a "b"\n') == "OK"
            assert raw.call("CONFIG", "GET", "maxmemory")[1] == b"%d" % (20 << 30)
            assert raw.call("CONFIG", "REWRITE") == "OK"
        assert written(conf) == lines

    @pytest.mark.parametrize("arguments, text", [
        (["--nosuch", "1"], "nosuch"), (["--port", "x"], "argument couldn't be parsed into an integer"),
        (["/no/such/file.conf"], "can't open"),
        (["--save", "60"], "Invalid save parameters"), (["--dbfilename", "a/b"], "just a filename"),
        (["--timeout"], "wrong number of arguments"),
        (["--timeout", "1", "2"], "wrong number"),
        (["--port", "0"], "not listen anywhere"),
    ])
    def test_mistakes_end_it_with_a_reason(self, arguments, text, tmp_path):
        ended = run_cli(*arguments, cwd=tmp_path)
        assert ended.returncode == 1 and text in ended.stderr

    def test_version_and_help(self, tmp_path):
        assert run_cli("--version", cwd=tmp_path).stdout.startswith("vamana-server v=")
        assert run_cli("-v", cwd=tmp_path).returncode == 0
        assert "--port" in run_cli("--help", cwd=tmp_path).stdout

    def test_a_port_that_is_taken(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ended = run_cli("--port", str(taken.getsockname()[1]), cwd=tmp_path)
            assert ended.returncode == 1 and "Could not create server TCP listening socket" in ended.stderr


def written(conf: Path) -> list[str]:
    """The lines of a file, but for what differs from start to start."""
    return [line for line in conf.read_text().splitlines() if not line.startswith(("port ", "dir "))]


def run_cli(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "respserver", *arguments], cwd=cwd, capture_output=True, text=True,
                          timeout=PATIENCE, env={"PYTHONPATH": str(ROOT), "PATH": ""})


class ConfiguredServer:
    """A server with a configuration file; gives a connection."""

    def __init__(self, conf: Path, *options: str):
        self.context = running_server(*options, conf=str(conf))

    def __enter__(self):
        self.connection = open_(self.context.__enter__())
        return self.connection

    def __exit__(self, *details):
        self.connection.close()
        return self.context.__exit__(*details)


class TestCommandsTakenAway:
    def test_rename_command(self, tmp_path):
        conf = tmp_path / "redis.conf"
        conf.write_text('rename-command FLUSHALL ""\nrename-command config secret-config\nactiverehashing yes\n')
        with running_server(conf=str(conf)) as server, open_(server) as raw:
            assert raw.call("FLUSHALL").text.startswith("ERR unknown command 'FLUSHALL'")
            assert raw.call("flushall") == raw.call("flushall")
            assert raw.call("CONFIG", "GET", "port").text.startswith("ERR unknown command")
            assert raw.call("SECRET-CONFIG", "GET", "port")
            assert raw.call("COMMAND", "INFO", "flushall") == [None] and raw.call("SECRET-CONFIG", "REWRITE") == "OK"
            assert "have no effect in this server: activerehashing" in server.log()
        assert [line for line in conf.read_text().splitlines() if line.startswith("rename")] == [
            'rename-command FLUSHALL ""', "rename-command config secret-config"]

    def test_refusals(self):
        for words, text in ((("nosuch", "x"), "No such command"), (("GET", "set"), "already exists"), (("GET",), "wrong number")):
            with pytest.raises(AssertionError, match=text), running_server("--rename-command", *words):
                pass
