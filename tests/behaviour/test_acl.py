"""Users: logins, refusals, the log, files; searches by users who may not see all keys."""
import time

import pytest
from helpers import RawConnection, RespError, free_port, running_server, wait_until


@pytest.fixture
def as_user(own_server, connect):
    """A function that makes a user by rules and gives a connection that is logged in as it."""
    def login(*rules, name="ann"):
        with RawConnection(own_server.host, own_server.port) as admin:
            admin.call("ACL", "DELUSER", name)
            assert admin.call("ACL", "SETUSER", name, "on", ">pw", *rules) == "OK"
        client = connect()
        assert client.call("AUTH", name, "pw") == "OK"
        return client
    return login


class TestUsers:
    def test_default(self, raw):
        assert raw.call("ACL", "WHOAMI") == b"default"
        assert raw.call("ACL", "LIST") == [b"user default on nopass sanitize-payload ~* &* +@all"]
        assert raw.error("ACL", "DELUSER", "default") == "ERR The 'default' user cannot be removed"

    def test_life_of_a_user(self, raw, connect):
        assert raw.call("ACL", "SETUSER", "new") == "OK" and raw.call("ACL", "USERS") == [b"default", b"new"]
        assert raw.call("ACL", "SETUSER", "new", ">pw") == "OK"
        other = connect()
        assert other.error("AUTH", "new", "pw") == "WRONGPASS invalid username-password pair or user is disabled."
        raw.call("ACL", "SETUSER", "new", "on", "+ping")
        assert other.error("AUTH", "new", "no").startswith("WRONGPASS")
        assert other.error("AUTH", "none", "pw").startswith("WRONGPASS")
        assert other.call("AUTH", "new", "pw") == "OK" and other.call("PING") == "PONG"
        assert other.error("ACL", "WHOAMI") == "NOPERM User new has no permissions to run the 'acl|whoami' command"
        assert raw.call("ACL", "DELUSER", "new", "none") == 1 and other.is_closed()
        assert raw.call("ACL", "GETUSER", "new") is None

    def test_a_rule_that_is_refused_changes_nothing(self, raw):
        assert raw.error("ACL", "SETUSER", "x", "on", "+nosuch") == \
            "ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL"
        assert raw.error("ACL", "SETUSER", "a b") == "ERR Usernames can't contain spaces or null characters"
        assert raw.error("ACL", "SETUSER", "x", "(+get") == "ERR Unmatched parenthesis in acl selector starting at '(+get'."
        assert raw.call("ACL", "GETUSER", "x") is None

    def test_getuser(self, raw3):
        raw3.call("ACL", "SETUSER", "ann", "reset", "+get", "%R~a", "&c", "(+set ~b)")
        found = raw3.call("ACL", "GETUSER", "ann")
        assert found[b"flags"] == ("set", [b"off", b"sanitize-payload"]) and found[b"commands"] == b"-@all +get"
        assert found[b"keys"] == b"%R~a" and found[b"channels"] == b"&c"
        assert found[b"selectors"] == [{b"commands": b"-@all +set", b"keys": b"~b", b"channels": b""}]
        raw3.call("ACL", "DELUSER", "ann")

    def test_cat(self, raw):
        assert {b"keyspace", b"search", b"sortedset", b"json"} <= set(raw.call("ACL", "CAT"))
        assert {b"FT.SEARCH", b"FT.CREATE"} <= set(raw.call("ACL", "CAT", "search"))
        assert b"get" in raw.call("ACL", "CAT", "string")
        assert raw.error("ACL", "CAT", "nosuch") == "ERR Unknown category 'nosuch'"

    def test_dryrun(self, raw):
        raw.call("ACL", "SETUSER", "dry", "+get", "~a*")
        assert raw.call("ACL", "DRYRUN", "dry", "GET", "a") == "OK"
        assert raw.call("ACL", "DRYRUN", "dry", "GET", "b") == b"User dry has no permissions to access the 'b' key"
        assert raw.call("ACL", "DRYRUN", "dry", "CONFIG", "GET",
                        "b") == b"User dry has no permissions to run the 'config|get' command"
        assert raw.error("ACL", "DRYRUN", "none", "GET", "b") == "ERR User 'none' not found"
        assert raw.error("ACL", "DRYRUN", "dry", "NONE") == "ERR Command 'NONE' not found"
        raw.call("ACL", "DELUSER", "dry")


class TestCalls:
    def test_refusals(self, as_user):
        ann = as_user("+@all", "-flushall", "~a*", "&c*")
        assert ann.call("SET", "a", "1") == "OK" and ann.error("SET", "b", "1") == "NOPERM No permissions to access a key"
        assert ann.error("PUBLISH", "d", "x") == "NOPERM No permissions to access a channel"
        assert ann.call("PUBLISH", "c", "x") == 0
        assert ann.error("FLUSHALL") == "NOPERM User ann has no permissions to run the 'flushall' command"

    def test_rights_that_are_taken_away_are_gone_at_once(self, as_user, raw):
        ann = as_user("+@all", "~*", "&*")
        assert ann.call("SET", "a", "1") == "OK"
        raw.call("ACL", "SETUSER", "ann", "-set")
        assert ann.error("SET", "a", "1").startswith("NOPERM")
        raw.call("ACL", "SETUSER", "ann", "+set")
        assert ann.call("SET", "a", "1") == "OK"

    def test_transactions(self, as_user, raw):
        ann = as_user("+@all", "~a*", "&*")
        ann.call("MULTI")
        assert ann.error("SET", "b", "1").startswith("NOPERM")
        assert ann.error("EXEC") == "EXECABORT Transaction discarded because of previous errors."
        ann.call("MULTI")
        assert ann.call("SET", "a", "1") == "QUEUED"
        raw.call("ACL", "SETUSER", "ann", "-set")
        assert ann.call("EXEC") == [RespError(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no "
            "longer allowed for the following reason: no permission to execute the command")]

    def test_sort_by_other_keys(self, as_user, raw):
        raw.call("RPUSH", "a", "1")
        ann = as_user("+sort", "~a")
        assert ann.call("SORT", "a") == [b"1"]
        assert ann.error("SORT", "a", "BY", "w*") == "ERR BY option of SORT denied due to insufficient ACL permissions."
        assert ann.error("SORT", "a", "GET", "w*") == "ERR GET option of SORT denied due to insufficient ACL permissions."

    def test_waiting_clients(self, as_user, raw):
        ann = as_user("+@all", "~*", "&*")
        ann.send(b"BLPOP l 0\r\n")
        wait_until(lambda: b"blocked_clients:1" in raw.call("INFO", "clients"))
        raw.call("ACL", "SETUSER", "ann", "resetkeys")
        raw.call("RPUSH", "l", "x")
        assert ann.read() == "NOPERM No permissions to access a key" and raw.call("LLEN", "l") == 1

    def test_listeners_lose_their_connection_with_their_channel(self, as_user, raw):
        ann, ben = as_user("+@all", "&c", "&d*"), as_user("+@all", "&d*", name="ben")
        ann.call("SUBSCRIBE", "c")
        ben.call("PSUBSCRIBE", "d*")
        for name in ("ann", "ben"):
            raw.call("ACL", "SETUSER", name, "resetchannels", "&d*")
        assert ann.is_closed() and b"psubscribe" in ben.call("PSUBSCRIBE", "d*")

    def test_hello(self, as_user, connect):
        as_user("+@all")
        client = connect()
        assert client.call("HELLO", "3", "AUTH", "ann", "pw")[b"proto"] == 3 and client.call("ACL", "WHOAMI") == b"ann"
        assert client.call("RESET") == "RESET" and client.call("ACL", "WHOAMI") == b"default"

    def test_client_list_and_kill(self, as_user, raw):
        ann = as_user("+@all")
        assert b" user=ann " in raw.call("CLIENT", "LIST")
        assert raw.call("CLIENT", "KILL", "USER", "ann") == 1 and ann.is_closed()
        assert raw.error("CLIENT", "KILL", "USER", "nobody") == "ERR No such user 'nobody'"


class TestLog:
    def test_entries(self, as_user, raw3):
        raw3.call("ACL", "LOG", "RESET")
        ann = as_user("+@all", "-get", "~a", "&c", "+acl")
        for _ in range(3):
            ann.call("GET", "a")
        ann.call("SET", "b", "1")
        ann.call("MULTI")
        ann.call("PUBLISH", "d", "x")
        ann.call("DISCARD")
        ann.call("AUTH", "ann", "wrong")
        log = raw3.call("ACL", "LOG")
        assert [(e[b"reason"], e[b"context"], e[b"object"], e[b"count"]) for e in log] == [
            (b"auth", b"toplevel", b"AUTH", 1), (b"channel", b"multi", b"d", 1), (b"key", b"toplevel", b"b", 1),
            (b"command", b"toplevel", b"get", 3)]
        assert all(e[b"username"] == b"ann" for e in log) and b"cmd=get" in log[3][b"client-info"]
        assert log[0][b"entry-id"] == log[3][b"entry-id"] + 3 and abs(log[0][b"timestamp-created"] / 1000 - time.time()) < 100
        assert len(raw3.call("ACL", "LOG", "2")) == 2 and raw3.call("ACL", "LOG", "RESET") == "OK"
        assert raw3.call("ACL", "LOG") == []

    def test_counters(self, as_user, raw):
        raw.call("CONFIG", "RESETSTAT")
        ann = as_user("+set", "~a")
        ann.call("GET", "a"), ann.call("SET", "b", "1"), ann.call("AUTH", "x", "y")
        stats = raw.call("INFO", "stats")
        assert all(b"acl_access_denied_%b:1\r\n" % name in stats for name in (b"cmd", b"key", b"auth"))


class TestSearch:
    @pytest.fixture
    def index(self, raw):
        raw.call("FT.CREATE", "mine", "PREFIX", "1", "a:", "SCHEMA", "t", "TAG", "v", "VECTOR", "FLAT", "6", "TYPE", "FLOAT32",
                 "DIM", "2",
                 "DISTANCE_METRIC", "L2")
        raw.call("FT.CREATE", "all", "SCHEMA", "t", "TAG")
        for i in range(3):
            raw.call("HSET", f"a:{i}", "t", "x", "v", bytes(8))

    def test_prefixes(self, index, as_user):
        ann = as_user("+@all", "%R~a:*", "&*")
        assert ann.call("FT.SEARCH", "mine", "@t:{x}", "LIMIT", "0", "0") == [3] and ann.call("FT.INFO", "mine")[1] == "mine"
        for words in (("FT.SEARCH", "all", "*"), ("FT.AGGREGATE", "all", "*"), ("FT.INFO", "all"),
                      ("FT.CURSOR", "READ", "all", "5"), ("FT.PROFILE", "all", "SEARCH", "QUERY", "*"),
                      ("FT.ALIASADD", "x", "all"), ("FT.DROPINDEX", "all"),
                      ("FT.ALTER", "all", "SCHEMA", "ADD", "n", "NUMERIC"), ("FT.EXPLAIN", "all", "*"),
                      ("FT.TAGVALS", "all", "t"), ("FT.DROPINDEX", "mine", "DD")):
            assert ann.error(*words) == "NOPERM User does not have the required permissions to query the index", words
        assert ann.error("FT.SEARCH", "none", "*").startswith("SEARCH_INDEX_NOT_FOUND") and ann.call("FT.DICTDUMP", "all") == []

    def test_commands(self, index, as_user):
        ann = as_user("+@read", "~*")
        assert ann.call("FT.SEARCH", "mine", "*", "LIMIT", "0", "0") == [3]
        assert ann.error("FT.CREATE", "i", "SCHEMA", "t",
                         "TAG") == "NOPERM User ann has no permissions to run the 'FT.CREATE' command"

    def test_readers_and_writers_search_but_make_and_see_no_index(self, index, as_user):
        ann = as_user("~*", "+@read", "+@write", "-@dangerous")
        assert ann.call("FT.SEARCH", "mine", "*", "LIMIT", "0", "0") == [3]
        for name, extra in (("FT.INFO", 0), ("FT.CREATE", 4), ("FT.ALTER", 4), ("FT._LIST", 0), ("FT.TAGVALS", 1),
                            ("FT.DROPINDEX", 0)):
            assert ann.error(name, "mine", *"SCHEMA ADD t TAG".split()[:extra]).startswith("NOPERM User ann")

    def test_repeated_searches(self, index, as_user, raw):
        """A client whose searches are answered by the shortest way loses its rights like any other."""
        ann = as_user("+@all", "~*", "&*")
        search = ("FT.SEARCH", "mine", "*=>[KNN 2 @v $q]", "PARAMS", "2", "q", bytes(8), "NOCONTENT", "DIALECT", "2")
        for _ in range(30):
            assert ann.call(*search)[0] == 2
        raw.call("ACL", "SETUSER", "ann", "resetkeys")
        assert ann.error(*search) == "NOPERM User does not have the required permissions to query the index"
        raw.call("ACL", "SETUSER", "ann", "~a:*")
        for _ in range(30):
            assert ann.call(*search)[0] == 2
        raw.call("ACL", "SETUSER", "ann", "-@search")
        assert ann.error(*search).startswith("NOPERM User ann")


class TestFiles:
    def test_acl_file(self, tmp_path):
        path = tmp_path / "users.acl"
        path.write_text("user default on nopass ~* &* +@all\n\n# comment\nuser ann on >pw +@read ~a* (+set %W~b)\n")
        with running_server("--aclfile", str(path)) as server, RawConnection(port=server.port) as admin:
            assert [line.split()[1] for line in admin.call("ACL", "LIST")] == [b"ann", b"default"]
            admin.call("ACL", "SETUSER", "ben", "on", "nopass", "+ping")
            assert admin.call("ACL", "SAVE") == "OK"
            saved = path.read_text()
            assert "user ben on nopass sanitize-payload resetchannels -@all +ping\n" in saved and "pw" not in saved
            ann, ben = RawConnection(port=server.port), RawConnection(port=server.port)
            assert ann.call("AUTH", "ann", "pw") == "OK" and ben.call("AUTH", "ben", "") == "OK"
            path.write_text(saved.replace("user ben", "user eve"))
            assert admin.call("ACL", "LOAD") == "OK"
            assert ben.is_closed() and ann.call("GET", "a") is None
            path.write_text("user ann on +nosuch\n")
            assert "Unknown command" in admin.error("ACL", "LOAD") and len(admin.call("ACL", "USERS")) == 3

    def test_lines_of_the_configuration(self, tmp_path):
        conf = tmp_path / "redis.conf"
        conf.write_text("user ann on >pw +@all ~a*\nrequirepass secret\n")
        with running_server(conf=str(conf)) as server, RawConnection(port=server.port) as admin:
            assert admin.error("PING").startswith("NOAUTH") and admin.call("AUTH", "secret") == "OK"
            admin.call("ACL", "SETUSER", "ben", "+get")
            assert admin.call("CONFIG", "REWRITE") == "OK"
            assert admin.error("ACL", "SAVE").startswith("ERR This Redis instance is not")
        lines = conf.read_text().splitlines()
        assert sum(line.startswith("user ") for line in lines) == 3 and "requirepass secret" in lines
        with running_server(conf=str(conf)) as server, RawConnection(port=server.port) as admin:
            assert admin.call("AUTH", "ann", "pw") == "OK" and admin.call("ACL", "USERS") == [b"ann", b"ben", b"default"]

    def test_bad_lines_stop_the_start(self, tmp_path):
        conf = tmp_path / "redis.conf"
        for text in ("user ann +nosuch\n", "user ann on\nuser ann off\n", f"user ann on\naclfile {tmp_path}/x\n",
                     f"aclfile {tmp_path}/none\n"):
            conf.write_text(text)
            with pytest.raises(AssertionError, match="FATAL CONFIG FILE ERROR"), running_server(conf=str(conf), port=free_port()):
                pass
