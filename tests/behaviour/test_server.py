"""INFO, CONFIG, COMMAND, SLOWLOG, LATENCY, MONITOR, MEMORY, DEBUG, ACL and what else concerns the server as a whole."""
import re
import time

import pytest
from helpers import Left, pack, wait_until


def info(connection, *sections) -> dict:
    text = connection.call("INFO", *sections).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if line and not line.startswith("#"))


def titles(connection, *sections) -> list[str]:
    return re.findall(r"^# (\w+)", connection.call("INFO", *sections).decode(), re.M)


class TestInfo:
    def test_the_usual_sections(self, raw):
        found = titles(raw)
        assert [name for name in found if not name.startswith("search_")] == [
            "Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Errorstats",
            "Cluster", "Keyspace"]

    @pytest.mark.parametrize("word", ["all", "everything", "ALL"])
    def test_all(self, raw, word):
        assert {"Commandstats", "Latencystats", "Server"} <= set(titles(raw, word))

    def test_chosen_sections(self, raw):
        assert titles(raw, "memory", "SERVER") == ["Server", "Memory"]
        assert raw.call("INFO", "nope") == b""
        assert (titles(raw, "default", "commandstats") == titles(raw, "default")[:-3] + ["Commandstats"]
                + titles(raw, "default")[-3:])

    def test_verbatim_on_resp3(self, raw3):
        kind, text = raw3.call("INFO", "server")
        assert kind == "txt" and text.startswith(b"# Server\r\nredis_version:8.")

    def test_what_clients_read(self, raw, server):
        found = info(raw)
        assert found["redis_mode"] == "standalone" and found["arch_bits"] == "64" and found["tcp_port"] == str(server.port)
        assert found["role"] == "master" and found["cluster_enabled"] == "0" and found["loading"] == "0"
        assert found["aof_enabled"] == "0"
        assert len(found["run_id"]) == 40 and int(found["used_memory"]) > 0 and int(found["connected_clients"]) >= 1

    def test_keyspace(self, raw):
        raw.call("SET", "a", "1")
        raw.call("SET", "b", "1", "EX", "100")
        shown = re.fullmatch(r"keys=2,expires=1,avg_ttl=(\d+)(,subexpiry=0)?", info(raw, "keyspace")["db0"])
        assert int(shown[1]) == Left(100_000)

    def test_keyspace_hits_and_misses(self, own_server, raw):
        def counts():
            stats = dict(line.split(b":") for line in raw.call("INFO", "stats").split(b"\r\n") if b":" in line)
            return int(stats[b"keyspace_hits"]), int(stats[b"keyspace_misses"])

        raw.call("SET", "here", "1")
        raw.call("HSET", "hash", "f", "1")
        raw.call("CONFIG", "RESETSTAT")
        assert counts() == (0, 0)
        for words, expected in ((("GET", "here"), (1, 0)), (("GET", "gone"), (1, 1)), (("HGET", "hash", "g"), (2, 1)),
                                (("MGET", "here", "gone", "gone"), (3, 3)), (("EXISTS", "here", "hash"), (5, 3)),
                                (("SET", "here", "2"), (5, 3)), (("HSET", "new", "f", "1"), (5, 3)), (("DEL", "gone"), (5, 3)),
                                (("PING",), (5, 3)), (("TYPE", "hash"), (6, 3))):
            raw.call(*words)
            assert counts() == expected, words
        raw.call("PSETEX", "short", "1", "v")
        time.sleep(0.01)
        raw.call("GET", "short")
        assert counts() == (6, 4)
        for words in (("MULTI",), ("GET", "here"), ("GET", "gone"), ("EXEC",)):
            raw.call(*words)
        assert counts() == (7, 5)

    def test_commandstats_and_errorstats(self, own_server, raw):
        raw.call("CONFIG", "RESETSTAT")
        raw.call("GET", "k")
        raw.call("GET")
        raw.call("CLIENT", "ID")
        raw.call("SET", "k", "v")
        raw.call("INCR", "k")
        raw.call("LPUSH" if raw.call("COMMAND", "INFO", "lpush") != [None] else "HSET", "k", "x", "y")
        found = info(raw, "all")
        assert re.fullmatch(r"calls=1,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=1,failed_calls=0", found["cmdstat_get"])
        assert found["cmdstat_client|id"].startswith("calls=1,")
        assert found["cmdstat_incr"].endswith("rejected_calls=0,failed_calls=1")
        assert found["errorstat_ERR"] == "count=2" and found["errorstat_WRONGTYPE"] == "count=1"
        assert found["total_error_replies"] == "3"
        assert re.fullmatch(r"p50=[\d.]+,p99=[\d.]+,p99\.9=[\d.]+", found["latency_percentiles_usec_get"])
        assert int(found["total_net_input_bytes"]) > 100

    def test_redis_py_reads_it(self, both):
        assert both.info()["redis_version"].startswith("8.") and both.info("memory")["maxmemory"] == 0


class TestConfig:
    def test_get_globs(self, both):
        assert both.config_get("maxmemory") == {"maxmemory": "0"} or both.config_get("maxmemory") == {b"maxmemory": b"0"}
        assert len(both.config_get("time*", "[d]atabases")) == 2

    def test_get_shapes(self, raw, raw3):
        assert raw.call("CONFIG", "GET", "TIMEOUT") == [b"timeout", b"0"]
        assert raw3.call("CONFIG", "GET", "timeout", "timeou*") == {b"timeout": b"0"}
        assert raw.call("CONFIG", "GET", "nope") == []

    @pytest.mark.parametrize("words, error", [
        (("nope", "1"), "ERR Unknown option or number of arguments for CONFIG SET - 'nope'"),
        (("timeout",), "ERR wrong number of arguments for 'config|set' command"),
        (("timeout", "1", "hz"), "ERR wrong number of arguments for 'config|set' command"),
        (("maxmemory", "x"),
         "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"),
        (("timeout", "-1"),
         "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"),
        (("timeout", "x"),
         "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"),
        (("databases", "5"), "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"),
        (("dir", "/tmp"), "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"),
        (("timeout", "0", "timeout", "1"),
         "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"),
        (("appendonly", "maybe"),
         "ERR CONFIG SET failed (possibly related to argument 'appendonly') - argument must be 'yes' or 'no'"),
        (("loglevel", "x"),
         "ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: "
                            "debug, verbose, notice, warning, nothing"),
        (("client-output-buffer-limit", "normal 1"),
         "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong "
                                                     "number of arguments in buffer limit configuration."),
    ])
    def test_set_errors(self, raw, words, error):
        assert raw.call("CONFIG", "SET", *words) == error

    def test_set_is_all_or_nothing(self, raw):
        assert raw.call("CONFIG", "SET", "timeout", "7", "hz",
                        "x").text.startswith("ERR CONFIG SET failed (possibly related to argument 'hz')")
        assert raw.call("CONFIG", "GET", "timeout")[1] == b"0"
        assert raw.call("CONFIG", "SET", "timeout", "7", "slowlog-max-len", "64") == "OK"
        assert sorted(raw.call("CONFIG", "GET", "timeout", "slowlog-max-len")) == [b"64", b"7", b"slowlog-max-len", b"timeout"]
        assert raw.call("CONFIG", "SET", "timeout", "0", "slowlog-max-len", "128") == "OK"

    def test_memory_units(self, raw):
        for text, shown in (("1k", b"1000"), ("1KB", b"1024"), ("2mb", b"2097152"), ("100b", b"100")):
            raw.call("CONFIG", "SET", "client-query-buffer-limit", "1gb")
            raw.call("CONFIG", "SET", "maxmemory", text)
            assert raw.call("CONFIG", "GET", "maxmemory")[1] == shown
        raw.call("CONFIG", "SET", "maxmemory", "0")

    def test_buffer_limits_are_merged(self, raw):
        assert raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 16mb 4mb 30") == "OK"
        assert raw.call("CONFIG", "GET",
                        "client-output-buffer-limit")[1] == b"normal 0 0 0 slave 268435456 67108864 60 pubsub 16777216 4194304 30"
        assert raw.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60") == "OK"

    def test_every_directive_can_be_set_to_what_it_is(self, raw):
        found = raw.call("CONFIG", "GET", "*")
        refused = {}
        for name, value in zip(found[::2], found[1::2]):
            reply = raw.call("CONFIG", "SET", name, value)
            if reply != "OK":
                refused[name] = reply.text.rpartition(" - ")[2]
        assert set(refused.values()) <= {"can't set immutable config", "can't set protected config"}
        assert raw.call("CONFIG", "GET", "*") == found

    def test_old_names(self, raw):
        assert raw.call("CONFIG", "SET", "hash-max-ziplist-entries", "100") == "OK"
        assert raw.call("CONFIG", "GET", "hash-max-listpack-entries")[1] == b"100"
        raw.call("CONFIG", "SET", "hash-max-listpack-entries", "512")

    def test_rewrite_without_a_file(self, raw):
        assert raw.call("CONFIG", "REWRITE") == "ERR The server is running without a config file"

    def test_out_of_memory(self, raw):
        raw.call("CONFIG", "SET", "maxmemory", "1")
        assert raw.call("SET", "k", "v") == "OOM command not allowed when used memory > 'maxmemory'."
        assert raw.call("GET", "k") is None
        raw.call("CONFIG", "SET", "maxmemory", "0")
        assert raw.call("SET", "k", "v") == "OK"


class TestCommand:
    def test_count_list_and_all_agree(self, raw):
        names = raw.call("COMMAND", "LIST")
        assert len(set(names)) == len(names) and b"client|list" in names
        n = sum(b"|" not in name for name in names)
        assert raw.call("COMMAND", "COUNT") == n == len(raw.call("COMMAND")) == len(raw.call("COMMAND", "INFO"))

    def test_info(self, raw, raw3):
        entry, nothing = raw.call("COMMAND", "INFO", "get", "nosuch")
        assert nothing is None
        assert entry[:6] == [b"get", 2, ["readonly", "fast"], 1, 1, 1] and sorted(entry[6]) == ["@fast", "@read", "@string"]
        entry = raw3.call("COMMAND", "INFO", "client|setinfo")[0]
        assert entry[0] == b"client|setinfo" and entry[1] == 4 and entry[2] == ("set", ["noscript", "loading", "stale"])

    def test_docs(self, raw, raw3):
        assert raw.call("COMMAND", "DOCS", "nosuch") == []
        found = raw3.call("COMMAND", "DOCS", "get", "config")
        assert found[b"get"][b"group"] == b"string" and found[b"get"][b"summary"]
        assert b"config|get" in found[b"config"][b"subcommands"]

    def test_list_filters(self, raw):
        assert b"get" in raw.call("COMMAND", "LIST", "FILTERBY", "ACLCAT", "string")
        assert raw.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "pub*") == [b"publish", b"pubsub"] or b"publish" in raw.call(
            "COMMAND", "LIST", "FILTERBY", "PATTERN", "pub*")
        assert raw.call("COMMAND", "LIST", "FILTERBY", "MODULE", "nosuch") == []
        assert raw.call("COMMAND", "LIST", "foo") == "ERR syntax error"

    @pytest.mark.parametrize("words, keys", [
        (("GET", "a"), [b"a"]), (("MSET", "a", "1", "b", "2"), [b"a", b"b"]), (("DEL", "a", "b", "c"), [b"a", b"b", b"c"]),
        (("OBJECT", "ENCODING", "a"), [b"a"]), (("SET", "a", "b", "EX", "1"), [b"a"]),
        (("EVAL", "return 1", "0"), []),
    ])
    def test_getkeys(self, raw, words, keys):
        assert raw.call("COMMAND", "GETKEYS", *words) == keys
        assert [row[0] for row in raw.call("COMMAND", "GETKEYSANDFLAGS", *words)] == keys

    @pytest.mark.parametrize("words, error", [
        (("GET",), "ERR Invalid number of arguments specified for command"), (("NOSUCH", "x"), "ERR Invalid command specified"),
        (("PING", "x"), "ERR The command has no key arguments"),
    ])
    def test_getkeys_errors(self, raw, words, error):
        assert raw.call("COMMAND", "GETKEYS", *words) == error


class TestSlowlog:
    @pytest.fixture(autouse=True)
    def everything_is_slow(self, raw):
        raw.call("CONFIG", "SET", "slowlog-log-slower-than", "0")
        raw.call("SLOWLOG", "RESET")
        yield
        raw.call("CONFIG", "SET", "slowlog-log-slower-than", "10000", "slowlog-max-len", "128")

    def test_entries(self, raw):
        raw.call("CLIENT", "SETNAME", "me")
        raw.call("Set", "k", "v")
        raw.call("GET", "k")
        newest, before, *_ = raw.call("SLOWLOG", "GET")
        assert newest[3] == [b"GET", b"k"] and before[3] == [b"Set", b"k", b"v"]
        assert newest[0] == before[0] + 1 and abs(newest[1] - time.time()) < 100 and newest[2] >= 0
        assert newest[4].startswith(b"127.0.0.1:") and newest[5] == b"me"

    def test_long_words_and_many_words(self, raw):
        raw.call("SET", "k", "x" * 300)
        assert raw.call("SLOWLOG", "GET", "1")[0][3][2] == b"x" * 128 + b"... (172 more bytes)"
        raw.call("DEL", *range(100))
        words = raw.call("SLOWLOG", "GET", "1")[0][3]
        assert len(words) == 32 and words[-1] == b"... (70 more arguments)"

    def test_blobs_are_shown_by_their_size(self, own_server, raw):
        raw.call("SET", "k", b"\x00\x01\xff" * 500)
        assert raw.call("SLOWLOG", "GET", "1")[0][3] == [b"SET", b"k", b"<1500 bytes>"]

    def test_passwords_are_not_shown(self, raw):
        raw.call("AUTH", "default", "secret")
        raw.call("HELLO", "2", "AUTH", "default", "secret", "SETNAME", "x")
        raw.call("CONFIG", "SET", "requirepass", "", "timeout", "0")
        assert [entry[3] for entry in raw.call("SLOWLOG", "GET", "3")] == [
            [b"CONFIG", b"SET", b"requirepass", b"(redacted)", b"timeout", b"0"],
            [b"HELLO", b"2", b"AUTH", b"(redacted)", b"(redacted)", b"SETNAME", b"x"], [b"AUTH", b"(redacted)", b"(redacted)"]]

    def test_length(self, raw):
        raw.call("CONFIG", "SET", "slowlog-max-len", "3")
        for _ in range(5):
            raw.call("PING")
        assert raw.call("SLOWLOG",
                        "LEN") == 3 and len(raw.call("SLOWLOG", "GET", "-1")) == 3 and len(raw.call("SLOWLOG", "GET", "2")) == 2
        raw.call("CONFIG", "SET", "slowlog-log-slower-than", "-1")
        raw.call("SLOWLOG", "RESET")
        assert raw.call("SLOWLOG", "LEN") == 0

    def test_commands_of_a_transaction(self, raw):
        raw.call("MULTI")
        raw.call("SET", "in", "multi")
        raw.call("EXEC")
        assert [b"SET", b"in", b"multi"] in [entry[3] for entry in raw.call("SLOWLOG", "GET")]

    def test_errors(self, raw):
        assert raw.call("SLOWLOG", "GET", "-2") == "ERR count should be greater than or equal to -1"
        assert raw.call("SLOWLOG", "GET", "x") == "ERR count should be greater than or equal to -1"


class TestLatency:
    def test_histogram(self, raw, raw3):
        raw.call("CONFIG", "RESETSTAT")
        for _ in range(20):
            raw.call("GET", "k")
        found = raw3.call("LATENCY", "HISTOGRAM", "get")[b"get"]
        assert found[b"calls"] == 20
        buckets = found[b"histogram_usec"]
        assert list(buckets.values())[-1] == 20 and list(buckets) == sorted(buckets)
        assert b"get" in raw3.call("LATENCY", "HISTOGRAM") and raw.call("LATENCY", "HISTOGRAM", "nosuch") == []

    def test_monitor(self, raw):
        raw.call("CONFIG", "SET", "latency-monitor-threshold", "1")
        raw.call("LATENCY", "RESET")
        raw.call("DEBUG", "SLEEP", "0.005")
        when, latest, longest = next(row[1:4] for row in raw.call("LATENCY", "LATEST") if row[0] == b"command")
        assert 5 <= longest < 50_000 and 0 < latest <= longest and abs(when - time.time()) < 100  # a busy machine may add others
        assert max(took for _, took in raw.call("LATENCY", "HISTORY", "command")) >= 5
        assert b"command" in raw.call("LATENCY", "GRAPH", "command") and b"command" in raw.call("LATENCY", "DOCTOR")
        assert raw.call("CONFIG", "SET", "latency-monitor-threshold", "0") == "OK"
        assert raw.call("LATENCY", "RESET", "command", "nosuch") == 1
        assert b"command" not in [row[0] for row in raw.call("LATENCY", "LATEST")]
        assert raw.call("LATENCY", "GRAPH", "x") == "ERR No samples available for event 'x'"


class TestMonitor:
    def test_format(self, raw, connect):
        watcher = connect()
        assert watcher.call("MONITOR") == "OK"
        raw.call("SET", "k", b'a"\\\n\r\t\a\b\x00\xff\'')
        raw.call("SELECT", "3")
        raw.call("get", "")
        port = raw.socket.getsockname()[1]
        lines = [watcher.line().decode("latin-1") for _ in range(3)]
        rest = [re.fullmatch(r"\+(\d+\.\d{6}) (.*)", line).group(2) for line in lines]
        assert rest == [f'[0 127.0.0.1:{port}] "SET" "k" "a\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff\'"',
                        f'[3 127.0.0.1:{port}] "SELECT" "3"',
                        f'[3 127.0.0.1:{port}] "get" ""']
        assert abs(float(lines[0][1:].split()[0]) - time.time()) < 100

    def test_what_is_not_shown(self, raw, connect):
        watcher = connect()
        watcher.call("MONITOR")
        raw.call("CONFIG", "GET", "port")
        raw.call("PING")
        assert watcher.line().endswith(b'"PING"')

    def test_transactions_are_shown_as_they_run(self, raw, connect):
        watcher = connect()
        watcher.call("MONITOR")
        for words in (["MULTI"], ["SET", "a", "1"], ["EXEC"]):
            raw.call(*words)
        seen = [watcher.line().split(b"] ")[1] for _ in range(3)]
        assert seen == [b'"MULTI"', b'"SET" "a" "1"', b'"EXEC"']

    def test_passwords_are_not_shown(self, raw, connect):
        watcher = connect()
        watcher.call("MONITOR")
        raw.call("AUTH", "default", "secret")
        assert watcher.line().endswith(b'"AUTH" "(redacted)" "(redacted)"')

    def test_reset_ends_it(self, raw, connect):
        watcher = connect()
        watcher.call("MONITOR")
        watcher.send(pack("RESET"))
        while watcher.line() != b"+RESET":
            pass
        raw.call("PING")
        assert watcher.call("ECHO", "a") == b"a"


class TestMemory:
    def test_usage(self, raw):
        raw.call("SET", "k", "x" * 1000)
        raw.call("HSET", "h", *[word for i in range(200) for word in (f"field{i}", "v" * 50)])
        small = raw.call("MEMORY", "USAGE", "k")
        assert 1000 < small < 1300
        assert 200 * 55 < raw.call("MEMORY", "USAGE", "h", "SAMPLES", "0") < 200 * 400
        assert raw.call("MEMORY", "USAGE", "none") is None
        assert raw.call("MEMORY", "USAGE", "k", "FOO", "1") == "ERR syntax error"
        assert raw.call("MEMORY", "USAGE", "k", "SAMPLES", "x") == "ERR value is not an integer or out of range"

    def test_stats(self, raw3):
        assert raw3.call("MEMORY", "STATS")[b"total.allocated"] > 0
        assert raw3.call("MEMORY", "DOCTOR")[0] == "txt" and raw3.call("MEMORY", "PURGE") == "OK"


class TestDebug:
    def test_object_and_sleep(self, raw):
        raw.call("SET", "k", "1")
        assert re.match(r"Value at:0x[0-9a-f]+ refcount:1 encoding:int serializedlength:\d+ lru:\d+ lru_seconds_idle:\d+",
                        raw.call("DEBUG", "OBJECT", "k"))
        assert raw.call("DEBUG", "OBJECT", "none") == "ERR no such key"
        assert raw.call("DEBUG", "SLEEP", "0.001") == "OK"
        assert raw.call("DEBUG", "FOO") == "ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP."

    def test_set_active_expire(self, raw):
        raw.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        raw.call("SET", "k", "v", "PX", "1")
        time.sleep(0.3)
        assert raw.call("DBSIZE") == 1
        raw.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        wait_until(lambda: raw.call("DBSIZE") == 0)


def test_acl(raw):
    assert raw.call("ACL", "WHOAMI") == b"default" and raw.call("ACL", "USERS") == [b"default"]
    assert raw.call("ACL", "LIST") == [b"user default on nopass sanitize-payload ~* &* +@all"]
    assert raw.call("ACL", "GETUSER", "nope") is None and raw.call("ACL", "GETUSER", "default")[0] == b"flags"
    assert b"string" in raw.call("ACL", "CAT") and b"get" in raw.call("ACL", "CAT", "string")
    assert raw.call("ACL", "CAT", "foo") == "ERR Unknown category 'foo'"
    assert len(raw.call("ACL", "GENPASS")) == 64 and len(raw.call("ACL", "GENPASS", "5")) == 2


def test_a_single_instance(raw):
    for words in (["READONLY"], ["READWRITE"], ["ASKING"], ["CLUSTER", "INFO"], ["CLUSTER", "SLOTS"]):
        assert raw.call(*words) == "ERR This instance has cluster support disabled"
    assert raw.call("ROLE") == [b"master", 0, []] and raw.call("WAIT", "0", "10") == 0
    assert raw.call("REPLICAOF", "NO", "ONE") == "OK"


def test_time_and_lastsave(raw):
    seconds, micros = raw.call("TIME")
    assert abs(int(seconds) - time.time()) < 100 and 0 <= int(micros) < 1_000_000
    assert abs(raw.call("LASTSAVE") - time.time()) < 3600


def test_lolwut_names_the_version(raw, raw3):
    assert b"Redis ver. 8." in raw.call("LOLWUT") and raw3.call("LOLWUT", "VERSION", "5")[0] == "txt"


def test_what_is_refused_says_so(own_server, raw):
    for words in (["REPLICAOF", "localhost", "1"], ["MODULE", "LOAD", "x"], ["CONFIG", "SET", "save", "60"], ["BGSAVE", "NOW"]):
        assert raw.call(*words).text.startswith("ERR ")
    assert raw.call("SHUTDOWN", "FOO") == "ERR syntax error" and raw.call("SHUTDOWN", "ABORT") == "ERR No shutdown in progress."
