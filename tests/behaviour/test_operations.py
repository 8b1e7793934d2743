"""What operators rely on: supervision, logs, reports of crashes, redis-cli's tools. Servers of our own, with options."""
import shutil
import signal
import socket
import subprocess

import pytest
from helpers import PATIENCE, RawConnection, RespError, pack, running_server


@pytest.fixture(autouse=True)
def only_ours(request):
    if request.config.getoption("--server"):
        pytest.skip("starts servers of its own")


def open_(server, **options):
    return RawConnection(server.host, server.port, **options)


class TestOperations:
    def test_systemd_is_told(self, tmp_path, monkeypatch):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(tmp_path / "notify"))
            notify.settimeout(PATIENCE)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            with running_server("--supervised", "systemd") as server, open_(server) as raw:
                assert notify.recv(1000) == b"STATUS=Loading" and notify.recv(1000).startswith(b"READY=1\nSTATUS=Ready")
                assert b"process_supervised:systemd" in raw.call("INFO", "server")
                assert server.stop() == 0 and notify.recv(1000).startswith(b"STOPPING=1")

    def test_a_log_that_is_moved_away_is_opened_anew(self, tmp_path):
        path = tmp_path / "log"
        with running_server("--logfile", str(path)) as server, open_(server) as raw:
            path.rename(tmp_path / "log.1")
            raw.call("DEBUG", "LOG", "behind the move")
            assert "behind the move" in path.read_text() and "Listening" in (tmp_path / "log.1").read_text()
            server.process.send_signal(signal.SIGHUP)
            assert raw.call("PING") == "PONG"

    def test_reports_of_a_crash(self, tmp_path):
        path = tmp_path / "log"
        with running_server("--logfile", str(path)) as server, open_(server) as raw:
            raw.send(pack("DEBUG", "SEGFAULT"))
            assert server.process.wait(PATIENCE) == -signal.SIGSEGV
        assert "Segmentation fault" in path.read_text() and "_debug_segfault" in path.read_text()
        with running_server("--logfile", str(path)) as server, open_(server) as raw:
            raw.send(pack("DEBUG", "PANIC"))
            assert server.process.wait(PATIENCE) == 1
        text = path.read_text()
        assert all(part in text for part in ("BUG REPORT START", "DEBUG PANIC was called", "redis_version:", "cmd=debug"))

    def test_debug_is_for_local_clients(self):
        with running_server("--enable-debug-command", "no") as server, open_(server) as raw:
            assert raw.call("DEBUG", "SLEEP", "0").text.startswith("ERR DEBUG command not allowed")
        with running_server() as server, open_(server) as raw:
            assert raw.call("DEBUG", "SLEEP", "0") == "OK" and raw.call("CONFIG", "GET", "enable-debug-command")[1] == b"local"


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="needs redis-cli")
class TestRedisCli:
    @pytest.fixture
    def filled(self):
        with running_server() as server, open_(server) as raw:
            for i in range(50):
                raw.call("SET", f"s{i}", "x" * i), raw.call("HSET", f"h{i}", "f", "v"), raw.call("RPUSH", "l", i)
                raw.call("ZADD", "z", i, i)
            yield server

    def cli(self, server, *words, **options):
        return subprocess.run(["redis-cli", "-p", str(server.port), *words], capture_output=True, timeout=PATIENCE,
                              **options).stdout.decode()

    def test_keys(self, filled):
        big = self.cli(filled, "--bigkeys")
        assert "Sampled 102 keys" in big and "1 lists with 50 items" in big and "1 zsets with 50 members" in big
        assert "Biggest   zset found" in self.cli(filled, "--memkeys")
        assert "OK" in self.cli(filled, "CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lfu")
        assert "hot key found with counter" in self.cli(filled, "--hotkeys")

    def test_pipe(self, filled):
        data = b"".join(pack("SET", f"p{i}", "x") for i in range(1000))
        assert "errors: 0, replies: 1000" in self.cli(filled, "--pipe", input=data)

    def test_watching(self, filled):
        with subprocess.Popen(["redis-cli", "-p", str(filled.port), "--stat", "-i", "0.1"], stdout=subprocess.PIPE) as process:
            lines = [process.stdout.readline() for _ in range(4)]
            process.terminate()
        assert b"keys" in lines[1] and lines[2].split()[0].isdigit()
        with subprocess.Popen(["redis-cli", "-p", str(filled.port), "--latency", "--raw", "-i", "1"],
                              stdout=subprocess.PIPE) as process:
            assert len(process.stdout.readline().split()) == 4
            process.terminate()


#: What RedisInsight and redis_exporter send to learn of a server.
ASKED = """INFO ALL|INFO MODULES|CONFIG GET *|LATENCY LATEST|LATENCY HISTOGRAM|SLOWLOG LEN|SLOWLOG GET 1|SLOWLOG RESET|COMMAND
INFO COMMANDLOG|
CLIENT LIST|CLIENT SETNAME x|MODULE LIST|COMMAND INFO ft.info|COMMAND INFO json.get|DBSIZE|SCAN 0 MATCH * COUNT 10 TYPE hash|
TYPE k|TTL k|
MEMORY USAGE k SAMPLES 0|HLEN k|HSCAN k 0|FT._LIST|FT.CONFIG GET MAXSEARCHRESULTS|CONFIG GET databases|CONFIG GET io-threads|
CONFIG GET *-max-ziplist-entries|CONFIG SET slowlog-log-slower-than 10000|ACL CAT dangerous|ACL CAT blocking|ACL LIST|ACL WHOAMI|
OBJECT ENCODING k|
CONFIG GET slowlog-max-len|ROLE|PUBSUB CHANNELS|COMMAND DOCS|COMMAND COUNT|INFO server clients memory"""


@pytest.mark.parametrize("words", [line.split() for line in ASKED.replace("\n", " ").split("|")], ids=" ".join)
def test_what_consoles_and_exporters_ask(raw, words):
    raw.call("HSET", "k", "f", "v")
    assert not isinstance(raw.call(*words), RespError)


def test_slow_commands_and_events_are_noted(raw):
    raw.call("CONFIG", "SET", "slowlog-log-slower-than", "20000", "latency-monitor-threshold", "20")
    raw.call("DEBUG", "SLEEP", "0.05")
    entries, events = raw.call("SLOWLOG", "GET", "5"), raw.call("LATENCY", "LATEST")  # where a busy machine may have put more
    entry = next(entry for entry in entries if entry[3] == [b"DEBUG", b"SLEEP", b"0.05"])
    assert 50_000 <= entry[2] < 50_000_000
    assert b"command" in [event[0] for event in events]
    assert max(took for _, took in raw.call("LATENCY", "HISTORY", "command")) >= 50
    raw.call("CONFIG", "SET", "slowlog-log-slower-than", "10000", "latency-monitor-threshold", "0")
