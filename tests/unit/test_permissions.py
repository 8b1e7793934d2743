"""Rules of users: what they allow, how they are shown, what is refused."""
import commands  # noqa: F401  (declares the commands that rules are about)
import pytest
from respserver.permissions import RuleError, User, joined_selectors
from respserver.registry import COMMANDS


def user(*rules: str) -> User:
    """A user made by these rules."""
    made = User(b"u")
    for rule in rules:
        made.apply(rule)
    return made


def refusal(who: User, *words: str):
    """Why a call is refused, as (reason, what), or None."""
    raw = [word.encode() for word in words]
    command = COMMANDS[raw[0].lower()]
    if command.subcommands and len(raw) > 1 and raw[1].lower() in command.subcommands:
        command = command.subcommands[raw[1].lower()]
    return who.refusal(command, raw)


class TestCommands:
    def test_nothing_is_allowed_at_first(self):
        assert refusal(user("~*"), "GET", "a") == ("command", b"get")
        assert refusal(user(), "AUTH", "x") is None         # or nobody could log in

    @pytest.mark.parametrize("rules, shown", [
        ("+@all -@hash -@slow +hget", "+@all -@hash -@slow +hget"),
        ("+@all -@hash -@slow +hget -@hash", "+@all -@slow +hget -@hash"),
        ("-@string -@slow +@all", "+@all"), ("+@HASH +@hash", "-@all +@hash"), ("+HGET +hGeT", "-@all +hget"),
        ("+client|list +config|get +config +acl|list -acl", "-@all +client|list +config -acl"),
        ("+select|0 +select|0", "-@all +select|0"), ("+config +config|get -config|set +config", "-@all +config"),
        ("-@dangerous", "-@all -@dangerous")])
    def test_shown(self, rules, shown):
        assert user(*rules.split()).root.shown_commands() == shown

    def test_subcommands(self):
        who = user("+config", "-config|set", "+client|id")
        assert refusal(who, "CONFIG", "GET", "x") is None and refusal(who, "CLIENT", "ID") is None
        assert refusal(who, "CONFIG", "SET", "a", "b") == ("command", b"config|set")
        assert refusal(who, "CLIENT", "LIST") == ("command", b"client|list")

    def test_categories(self):
        who = user("~*", "+@read", "-@slow", "+lrange")
        assert refusal(who, "GET", "a") is None and refusal(who, "LRANGE", "a", "0", "1") is None
        assert refusal(who, "SET", "a", "b") and refusal(who, "HGETALL", "a")

    def test_first_argument(self):
        who = user("+select|0", "+select|1")
        assert refusal(who, "SELECT", "0") is None and refusal(who, "SELECT", "2") == ("command", b"select")

    def test_unlimited(self):
        assert user("+@all", "allkeys", "&*").is_unlimited
        assert not user("+@all", "-get", "~*", "&*").is_unlimited and not user("+@all", "~*").is_unlimited
        assert user("(+@all ~* &*)").is_unlimited


class TestKeys:
    def test_read_and_write(self):
        who = user("+@all", "%R~r*", "%W~w*", "~both")
        assert refusal(who, "GET", "r1") is None and refusal(who, "GET", "w1") == ("key", b"w1")
        assert refusal(who, "HSET", "w1", "f", "v") is None and refusal(who, "HSET", "r1", "f", "v") == ("key", b"r1")
        assert refusal(who, "INCR", "both") is None and refusal(who, "INCR", "w1") == ("key", b"w1")
        assert refusal(who, "COPY", "r1", "w1") is None and refusal(who, "COPY", "w1", "r1") == ("key", b"w1")
        assert refusal(who, "SINTERSTORE", "w1", "r1", "r2") is None and refusal(who, "SINTERSTORE", "w1", "w2") == ("key", b"w2")
        assert refusal(who, "SET", "w1", "v") is None and refusal(who, "SET", "w1", "v", "GET") == ("key", b"w1")
        assert refusal(who, "BITFIELD", "r1", "GET", "u4", "0") is None
        assert refusal(who, "BITFIELD", "r1", "SET", "u4", "0", "1") == ("key", b"r1")

    def test_whether_a_key_is_there_may_be_asked_with_either_right(self):
        who = user("+@all", "%R~r*", "%W~w*")
        for name in ("EXISTS", "TYPE", "STRLEN", "HLEN", "LLEN", "SCARD", "TOUCH"):
            assert refusal(who, name, "r") is None and refusal(who, name, "w") is None
            assert refusal(who, name, "x") == ("key", b"x")

    def test_positions(self):
        who = user("+@all", "~a*")
        assert refusal(who, "MSET", "a1", "x", "b", "y") == ("key", b"b")
        assert refusal(who, "OBJECT", "ENCODING", "b") == ("key", b"b")
        assert refusal(who, "LMPOP", "2", "a", "b", "LEFT") == ("key", b"b")
        assert refusal(who, "SORT", "a", "STORE", "b") == ("key", b"b")
        assert refusal(who, "LMPOP", "x", "b", "LEFT") is None          # a syntax error: the command will say so

    def test_shown(self):
        assert user("%R~a", "%W~a", "%RW~b", "%r~c").root.shown_keys() == "~a ~b %R~c"
        assert user("%R~*", "%W~*").root.shown_keys() == "~*" == user("allkeys").root.shown_keys()

    @pytest.mark.parametrize("pattern, prefix, expected", [
        ("~doc:*", b"doc:", True), ("~doc:*", b"doc:a", True), ("~doc:*", b"doc", False), ("~doc:", b"doc:", False),
        ("~*", b"", True),
        ("~d?c*", b"doc:", True), ("~doc\\*", b"doc", False), ("~doc:*x", b"doc:", False), ("%W~doc:*", b"doc:", False),
        ("%R~doc:*", b"doc:", True), ("~doc\\\\*", b"doc\\", True)])
    def test_prefixes(self, pattern, prefix, expected):
        assert user(pattern).may_use_prefix(prefix, "R") is expected


class TestChannels:
    def test_channels(self):
        who = user("+@all", "&news.*")
        assert refusal(who, "PUBLISH", "news.a", "x") is None and refusal(who, "PUBLISH", "a", "x") == ("channel", b"a")
        assert refusal(who, "SUBSCRIBE", "news.a", "b") == ("channel", b"b")
        assert refusal(who, "PSUBSCRIBE", "news.*") is None and refusal(who, "PSUBSCRIBE", "news.a*") == ("channel", b"news.a*")
        assert refusal(who, "SSUBSCRIBE", "x") == ("channel", b"x") and refusal(who, "UNSUBSCRIBE", "x") is None


class TestSelectors:
    def test_rights_do_not_add_up(self):
        who = user("(%R~r* +@all)", "(%W~w* +@all)")
        assert refusal(who, "GET", "r") is None and refusal(who, "HSET", "w", "f", "v") is None
        assert refusal(who, "COPY", "r", "w") is not None

    def test_the_refusal_that_came_closest_is_given(self):
        who = user("+mget", "~key", "(+mget ~key ~other)")
        assert refusal(who, "GET", "key") == ("command", b"get")
        assert refusal(who, "MGET", "other", "more") == ("key", b"more") == refusal(who, "MGET", "key", "other", "more")

    def test_shown(self):
        who = user("on", ">p", "+get", "~a", "(+set %W~b &c)")
        assert str(who) == (
            "on sanitize-payload #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 ~a resetchannels "
            "-@all +get (%W~b resetchannels &c -@all +set)")
        again = user(*joined_selectors(str(who).split()))
        assert str(again) == str(who)
        who.apply("clearselectors")
        assert len(who.selectors) == 1

    def test_joined(self):
        assert joined_selectors(["on", "(", "+get", ")", "(+set)"]) == ["on", "( +get )", "(+set)"]
        with pytest.raises(ValueError, match="Unmatched parenthesis"):
            joined_selectors(["(+get", "(+set"])


class TestPasswords:
    def test_several(self):
        who = user("on", ">one", ">two")
        assert who.accepts(b"one") and who.accepts(b"two") and not who.accepts(b"three")
        who.apply("<one")
        assert not who.accepts(b"one")
        who.apply("off")
        assert not who.accepts(b"two")

    def test_any(self):
        who = user("on", "nopass")
        assert who.accepts(b"") and who.accepts(b"x")
        who.apply(">y")
        assert not who.accepts(b"x")


@pytest.mark.parametrize("rules", [
    "foo", "+nosuch", "+@nosuch", "~* ~foo", "&* &foo", "<none", "!1234", "#1234", "+config|get|x", "+config|nosuch", "-select|0",
    "+get|a|b", "%X~a", "%~a", "~* %R~a", "(foo)", "(&* &x)", " () ", ")", "+", ""])
def test_refused(rules):
    with pytest.raises(RuleError):
        user(*(rules.split(" ") if rules.strip() == rules else [rules]))
