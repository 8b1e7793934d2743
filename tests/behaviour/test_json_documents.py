"""The JSON commands on values of any type, and JSON documents as values of keys."""
import json

import pytest

NO_KEY = "could not perform this operation on a key that doesn't exist"
NO_PATH = "ERR Path does not exist"
WRONG_KEY = "Existing key has wrong Redis type"


def test_set_and_get(both, raw):
    assert both.json().set("d", "$", {"a": 1, "b": {"a": [1.0, None]}}) is True
    assert both.json().get("d") == {"a": 1, "b": {"a": [1.0, None]}}
    assert both.json().get("d", "$..a") == [1, [1.0, None]] and both.json().get("d", "$.x") == []
    assert raw.call("JSON.GET", "d") == b'{"a":1,"b":{"a":[1.0,null]}}'
    assert raw.call("JSON.GET", "d", "$") == b'[{"a":1,"b":{"a":[1.0,null]}}]'
    assert raw.call("JSON.GET", "d", ".a") == b"1" and raw.call("JSON.GET", "d", "b.a[0]") == b"1.0"
    assert raw.call("JSON.GET", "d", "..a") == b"1"
    assert raw.error("JSON.GET", "d", ".x") == NO_PATH and raw.error("JSON.GET", "d", "a", "x") == NO_PATH
    assert raw.call("JSON.GET", "d", "a", "b") == b'{"a":1,"b":{"a":[1.0,null]}}'
    assert raw.call("JSON.GET", "d", "$.a", "x", "..a") == b'{"$.a":[1],"x":[],"..a":[1,[1.0,null]]}'
    assert raw.call("JSON.GET", "none") is None and raw.call("JSON.GET", "none", "$.a", ".b") is None
    assert raw.call("JSON.GET", "d", "INDENT", "-", "NEWLINE", "|", "SPACE", "_",
                    "$.b") == b'[|-{|--"a":_[|---1.0,|---null|--]|-}|]'
    assert raw.call("JSON.GET", "d", "NOESCAPE", "space", " ", "a", "b.a") == b'{"a": 1,"b.a": [1.0,null]}'
    assert raw.error("JSON.GET", "d", "INDENT") == "ERR wrong number of arguments for 'json.get' command"
    assert raw.error("JSON.GET", "d", "$[").startswith("Error occurred on position 2")


def test_conditions(raw):
    assert raw.call("JSON.SET", "d", "$", "{}", "XX") is None and raw.call("JSON.SET", "d", ".", "{}", "nx") == "OK"
    assert raw.call("JSON.SET", "d", "$", "[]", "NX") is None and raw.call("JSON.SET", "d", "$", "{}", "XX") == "OK"
    assert raw.call("JSON.SET", "d", "$.a", "1", "XX") is None and raw.call("JSON.SET", "d", "$.a", "1", "NX") == "OK"
    assert raw.call("JSON.SET", "d", "$.a", "2", "NX") is None and raw.call("JSON.SET", "d", "$.a", "[2]", "XX") == "OK"
    assert raw.call("JSON.SET", "d", "$.b.c", "1") is None and raw.call("JSON.SET", "d", ".a.c", "1") is None
    assert raw.call("JSON.SET", "d", "$.a[0]", "3", "NX") is None
    assert raw.error("JSON.SET", "d", "$.a[1]", "3") == "ERR array index out of range"
    assert raw.call("JSON.GET", "d") == b'{"a":[2]}'
    assert raw.error("JSON.SET", "new", "$.a", "1") == "ERR new objects must be created at the root"
    assert raw.error("JSON.SET", "d", "$..x", "1") == "Err wrong static path"
    for words in (("",), ("NN",), ("NX", "XX"), ("XX", "XX")):
        assert raw.error("JSON.SET", "d", "$", "1", *words) == "ERR syntax error"
    assert raw.call("JSON.SET", "d", "$", "1", "FORMAT", "JSON", "XX") == "OK"
    assert raw.error("JSON.SET", "d", "$", "1", "FORMAT", "X") == "ERR wrong format"
    assert "BSON" in raw.error("JSON.SET", "d", "$", "1", "FORMAT", "BSON")


def test_several_places(raw):
    raw.call("JSON.SET", "d", "$", '{"a":1,"b":{"a":{"a":2}}}')
    assert raw.call("JSON.SET", "d", "$..a", "[0]") == "OK" and raw.call("JSON.GET", "d") == b'{"a":[0],"b":{"a":[0]}}'
    raw.call("JSON.ARRAPPEND", "d", "$.a", "1")
    assert raw.call("JSON.GET", "d") == b'{"a":[0,1],"b":{"a":[0]}}'                # each place has a value of its own


def test_types_of_numbers_in_vectors(raw):
    assert raw.call("JSON.SET", "d", "$", "[0.3,0.1]", "FPHA", "FP32") == "OK" and raw.call("JSON.GET", "d") == b"[0.3,0.1]"
    assert raw.error("JSON.SET", "d", "$", "[0.3]", "FPHA", "FP8") == "ERR invalid FPHA type"
    assert "out of range" in raw.error("JSON.SET", "d", "$", '{"v":[1e100]}', "FPHA", "FP16")
    assert "arguments" in raw.error("JSON.SET", "d", "$", "[0.3]", "FPHA")
    vector = "[" + ",".join(["0.1"] * 50) + "]"
    raw.call("JSON.SET", "v", "$", vector)
    assert raw.call("JSON.GET", "v").decode() == vector and raw.call("JSON.TYPE", "v") == b"array"
    assert raw.call("JSON.SET", "v", "$[1]", '"x"') == "OK" and raw.call("JSON.GET", "v", "$[:3]") == b'[0.1,"x",0.1]'
    exact = "[" + ",".join(["0.5"] * 50) + "]"
    raw.call("JSON.SET", "v", "$", exact)
    assert raw.call("JSON.SET", "v", "$[1]", "0.1") == "OK" and raw.call("JSON.GET", "v", "$[:2]") == b"[0.5,0.1]"


def test_refused_texts(raw):
    raw.call("JSON.SET", "d", "$", "1")
    for text in ("{", "", " ", "nul", "[1,2", "'a'", "NaN", "01", '"\x00"', "1 2", "truex"):
        assert " at line 1 column " in raw.error("JSON.SET", "d", "$", text), text
    assert raw.error("JSON.SET", "d", "$", b'"\xff"') == "Couldn't parse as UTF-8 string"
    assert "recursion limit exceeded" in raw.error("JSON.SET", "d", "$", "[" * 128 + "]" * 128)
    assert "recursion limit exceeded" in raw.error("JSON.SET", "d", "$", "[" * 100_000)
    assert raw.call("JSON.GET", "d") == b"1"
    raw.call("JSON.SET", "d", "$", "[" * 100 + "0" + "]" * 100)
    assert raw.call("JSON.SET", "d", "$" + "[0]" * 100, "[" * 28 + "]" * 28) is None
    assert raw.call("JSON.SET", "d", "$" + "[0]" * 100, "[" * 27 + "]" * 27) == "OK"


def test_numbers_keep_their_form(raw):
    for text, back in (("1", "1"), ("1.0", "1.0"), ("-0", "-0.0"), ("1e16", "1e16"),
                       ("5.960464477539062e+16", "5.960464477539062e16"),
                       ("0.00001", "0.00001"), ("1e-7", "1e-7"), ("18446744073709551615", "18446744073709551615"),
                       ("18446744073709551616", "1.8446744073709552e19"), ("1512060373.222988", "1512060373.222988")):
        raw.call("JSON.SET", "d", "$", text)
        assert raw.call("JSON.GET", "d").decode() == back


def test_mget(both, raw):
    raw.call("JSON.SET", "a", "$", '{"x":1,"y":{"x":[]}}')
    raw.call("JSON.SET", "b", "$", '{"z":1}')
    raw.call("SET", "s", "1")
    assert raw.call("JSON.MGET", "a", "b", "s", "none", "$..x") == [b"[1,[]]", b"[]", None, None]
    assert raw.call("JSON.MGET", "a", "b", "s", "none", ".x") == [b"1", None, None, None]
    assert raw.call("JSON.MGET", "a", "b", "$.x +") == [None, None]
    assert raw.call("JSON.MGET", "a", "b", "$.x + 1") == [b"[2]", b"[]"]
    assert both.json().mget(["a", "none"], "$.x") == [[1], None]
    assert raw.call("COMMAND", "GETKEYS", "JSON.MGET", "a", "b", "$") == [b"a", b"b"]


def test_mset(both, raw):
    assert both.json().mset([("a", "$", {"x": 1}), ("b", "$", [1])]) is True
    assert raw.call("JSON.MSET", "a", "$.y", "2", "b", "$[0]", "3", "a", "$.x", "4") == "OK"
    assert raw.call("JSON.MGET", "a", "b", ".") == [b'{"x":4,"y":2}', b"[3]"]
    assert raw.call("JSON.MSET", "a", "$.x", "{}", "a", "$.x.z.y", "1", "b", "$", "7") is None
    assert raw.call("JSON.MGET", "a", "b", ".") == [b'{"x":{},"y":2}', b"7"]
    assert raw.error("JSON.MSET", "a", "$", "1", "b", "$") == "ERR wrong number of arguments for 'json.mset' command"
    assert raw.error("JSON.MSET", "a", "$", "1", "c", "$.a", "1") == "ERR new objects must be created at the root"
    assert "column" in raw.error("JSON.MSET", "a", "$", "1", "b", "$", "{")
    assert raw.call("JSON.GET", "a") == b'{"x":{},"y":2}'                           # nothing is done if something is wrong
    assert raw.call("COMMAND", "GETKEYS", "JSON.MSET", "a", "$", "1", "b", "$", "2") == [b"a", b"b"]


def test_merge(both, raw):
    assert both.json().merge("d", "$", {"a": {"b": 1, "c": 2}}) is True
    assert both.json().merge("d", "$", {"a": {"b": None, "d": [1]}, "e": {"f": None, "g": 1}}) is True
    assert both.json().get("d") == {"a": {"c": 2, "d": [1]}, "e": {"g": 1}}
    assert raw.call("JSON.MERGE", "d", "$.a.d", '{"x":1}') == "OK" and raw.call("JSON.MERGE", "d", "$.new", "3") == "OK"
    assert raw.call("JSON.MERGE", "d", "$.e", "7") == "OK"
    assert both.json().get("d") == {"a": {"c": 2, "d": {"x": 1}}, "e": 7, "new": 3}
    assert raw.call("JSON.MERGE", "d", "$.*", '{"m":1}') == "OK"
    assert both.json().get("d") == {"a": {"c": 2, "d": {"x": 1}, "m": 1}, "e": {"m": 1}, "new": {"m": 1}}
    assert raw.call("JSON.MERGE", "d", "$.x.y", "1") is None
    assert raw.error("JSON.MERGE", "none", "$.a", "1") == "ERR new objects must be created at the root"
    assert raw.error("JSON.MERGE", "d", "$", "1", "NX") == "ERR syntax error"
    raw.call("JSON.MERGE", "d", "$", "[1]")
    assert both.json().get("d") == [1]


@pytest.mark.parametrize("name", ["JSON.DEL", "JSON.FORGET"])
def test_delete(raw, name):
    raw.call("JSON.SET", "d", "$", '{"a":{"a":2,"b":3},"b":["a","b",[0,1,2]],"c":{"a":1}}')
    assert raw.call(name, "d", "$..a") == 2 and json.loads(raw.call("JSON.GET", "d")) == {"b": ["a", "b", [0, 1, 2]], "c": {}}
    assert raw.call(name, "d", "$.b[0,2]", "more") == 2 and raw.call(name, "d", "$.x") == 0 and raw.call(name, "none", "$") == 0
    assert raw.call(name, "d", ".c") == 1 and raw.call("JSON.GET", "d") == b'{"b":["b"]}'
    raw.call("JSON.SET", "l", "$", "[[1],[1,2,3],[[5]],4]")
    assert raw.call(name, "l", "$..[0]") == 3 and raw.call("JSON.GET", "l") == b"[[2,3],[],4]"
    assert raw.call(name, "l", "$[*]") == 3 and raw.call("EXISTS", "l") == 0            # an empty document goes
    assert raw.call(name, "d") == 1 and raw.call("EXISTS", "d") == 0


def test_type_and_resp(both, raw, raw3):
    raw.call("JSON.SET", "d", "$", '{"o":{},"a":[1,true,"x",1.5,null],"s":"t","i":1,"n":-19.5,"b":false,"z":null}')
    kinds = [b"object", b"array", b"string", b"integer", b"number", b"boolean", b"null"]
    assert raw.call("JSON.TYPE", "d", "$.*") == kinds and raw3.call("JSON.TYPE", "d", "$.*") == [kinds]
    assert raw.call("JSON.TYPE", "d") == b"object" and raw3.call("JSON.TYPE", "d") == [b"object"]
    assert raw.call("JSON.TYPE", "d", ".x") is None and raw.call("JSON.TYPE", "d", "$.x") == []
    assert raw3.call("JSON.TYPE", "none") == [None]
    assert raw.call("JSON.RESP", "d", "$.a") == [["[", 1, "true", b"x", b"1.5", None]]
    assert raw.call("JSON.RESP", "d", "n") == b"-19.5"
    assert raw3.call("JSON.RESP", "d", "$.n") == [-19.5] and raw.call("JSON.RESP", "none") is None
    assert raw.error("JSON.RESP", "d", "x") == NO_PATH
    raw.call("JSON.SET", "d", "$", '{"a":{"b":2}}')
    assert raw.call("JSON.RESP", "d") == ["{", b"a", ["{", b"b", 2]] and raw.call("JSON.RESP", "d", "$.a.b + 1") == [3]


def test_forms_of_resp3(raw, raw3):
    raw.call("JSON.SET", "d", "$", '{"a":[1,2.5,"x",{"b":null}],"c":true}')
    assert raw3.call("JSON.GET", "d", "FORMAT", "EXPAND", "$.a", "$.x") == [[[1, 2.5, b"x", {b"b": None}]], []]
    assert raw3.call("JSON.GET", "d", "FORMAT", "EXPAND1", "$.a", "$.c", "$.a[1]") == [[b'[1,2.5,"x",{"b":null}]'], [True], [2.5]]
    assert raw3.call("JSON.GET", "d", "FORMAT", "STRING", "$.c") == b"[true]"
    assert raw3.error("JSON.GET", "d", "FORMAT", "STRINGS", "$.c") == "ERR wrong reply format"
    assert raw.error("JSON.GET", "d", "FORMAT", "STRING", "$.c") == "ERR FORMAT argument is not supported on RESP2"


def test_objects(raw, raw3):
    raw.call("JSON.SET", "d", "$", '{"x":{"a":{"foo":1,"bar":2}},"a":["foo"],"y":{"a":{"baz":5}}}')
    for client in (raw, raw3):
        assert client.call("JSON.OBJKEYS", "d", "$..a") == [None, [b"foo", b"bar"], [b"baz"]]
        assert client.call("JSON.OBJLEN", "d", "$..a") == [None, 2, 1]
        assert client.call("JSON.OBJKEYS", "d") == [b"x", b"a", b"y"] and client.call("JSON.OBJLEN", "d") == 3
        assert client.call("JSON.OBJKEYS", "d", ".none") is None and client.call("JSON.OBJLEN", "d", "$.none") == []
    assert raw.error("JSON.OBJKEYS", "d", ".a") == NO_PATH + " or not an object"
    assert raw.error("JSON.OBJLEN", "d", ".a") == "WRONGTYPE wrong type of path value - expected object"
    assert raw.call("JSON.OBJKEYS", "none") is None and NO_KEY in raw.error("JSON.OBJKEYS", "none", "$")
    assert raw.error("JSON.OBJLEN", "none", "$") == NO_PATH + " or not an object"


def test_clear(raw):
    raw.call("JSON.SET", "d", "$", '{"o":{"a":1},"l":[1],"n":5,"f":1.5,"s":"x","b":true,"z":null,"e":{},"0":0}')
    assert raw.call("JSON.CLEAR", "d", "$.*") == 4 and raw.call("JSON.CLEAR", "d", "$.*") == 0
    assert raw.call("JSON.GET", "d") == b'{"o":{},"l":[],"n":0,"f":0,"s":"x","b":true,"z":null,"e":{},"0":0}'
    assert raw.call("JSON.CLEAR", "d") == 1 and raw.call("JSON.GET", "d") == b"{}" and raw.call("EXISTS", "d") == 1
    assert NO_KEY in raw.error("JSON.CLEAR", "none")
    assert raw.error("JSON.CLEAR", "d", "$", "$") == "ERR wrong number of arguments for 'json.clear' command"


def test_debug(raw):
    raw.call("JSON.SET", "d", "$", '{"a":"' + "x" * 1000 + '","b":1}')
    sizes = raw.call("JSON.DEBUG", "MEMORY", "d", "$.*")
    assert 1000 < sizes[0] < 1200 and 0 < sizes[1] < 100 and sum(sizes) < raw.call("JSON.DEBUG", "MEMORY", "d") < 2000
    assert raw.call("JSON.DEBUG", "MEMORY", "none") == 0 and raw.call("JSON.DEBUG", "MEMORY", "none", "$") == []
    assert len(raw.call("JSON.DEBUG", "HELP")) == 2
    assert raw.error("JSON.DEBUG", "X", "d") == "ERR unknown subcommand - try `JSON.DEBUG HELP`"
    assert raw.error("JSON.DEBUG", "MEMORY") == "ERR wrong number of arguments for 'json.debug' command"


def test_projections_are_read_only(raw):
    raw.call("JSON.SET", "d", "$", '{"a":2,"l":[1,2,3],"s":"x","b":true}')
    assert raw.call("JSON.GET", "d", "$.a + 1") == b"[3]" and raw.call("JSON.GET", "d", "a + 1", "s") == b'{"a + 1":[3],"s":"x"}'
    path = "$.a + 1"
    for words in (("SET", "d", path, "1"), ("DEL", "d", path), ("MSET", "d", path, "1"), ("MERGE", "d", path, "1"),
                  ("CLEAR", "d", path),
                  ("TOGGLE", "d", path), ("NUMINCRBY", "d", path, "1"), ("STRAPPEND", "d", path, '"x"'), ("ARRAPPEND", "d",
                      path, "1"),
                  ("ARRINSERT", "d", path, "0", "1"), ("ARRPOP", "d", path), ("ARRTRIM", "d", path, "0", "1"),
                  ("TYPE", "d", path),
                  ("STRLEN", "d", path), ("OBJLEN", "d", path), ("OBJKEYS", "d", path), ("ARRLEN", "d", path), ("ARRINDEX", "d",
                      path, "1"),
                  ("DEBUG", "MEMORY", "d", path), ("TYPE", "d", "a + 1")):
        assert raw.error("JSON." + words[0], *words[1:]).startswith("ERR computed/projection"), words
    assert raw.call("JSON.GET", "d") == b'{"a":2,"l":[1,2,3],"s":"x","b":true}'


def test_a_document_is_a_value_like_others(both, raw):
    raw.call("JSON.SET", "d", "$", '{"a":[1]}')
    assert both.type("d") == b"ReJSON-RL" and raw.call("OBJECT", "ENCODING", "d") == b"raw"
    assert raw.call("MEMORY", "USAGE", "d") > 100
    assert raw.call("SCAN", "0", "TYPE", "ReJSON-RL") == [b"0", [b"d"]] and raw.call("SCAN", "0", "TYPE", "hash") == [b"0", []]
    assert both.copy("d", "e") and raw.call("JSON.ARRAPPEND", "e", "$.a", "2") == [2]
    assert raw.call("JSON.GET", "d") == b'{"a":[1]}'
    both.expire("d", 1000)
    raw.call("JSON.SET", "d", "$", "{}")
    raw.call("JSON.SET", "d", "$.a", "1")
    assert 0 < both.ttl("d") <= 1000                                                 # as in Redis: only the contents are replaced
    assert both.rename("d", "f") and raw.call("JSON.GET", "f") == b'{"a":1}' and 0 < both.ttl("f") <= 1000
    both.set("f", "x")
    for name, *words in (("GET", "$"), ("SET", "$", "1"), ("DEL",), ("TYPE",), ("NUMINCRBY", "$", "1"), ("ARRLEN",),
                         ("STRLEN",), ("OBJKEYS",)):
        assert raw.error("JSON." + name, "f", *words) == WRONG_KEY
    assert raw.error("HSET", "e", "a", "1").startswith("WRONGTYPE") and raw.error("GET", "e").startswith("WRONGTYPE")
    both.pexpire("e", 1)
    assert [raw.call("JSON.GET", "e") for _ in range(1) if not both.delete("e")] in ([], [None])


def test_watch(both, raw):
    raw.call("JSON.SET", "d", "$", '{"a":1}')
    with both.pipeline() as pipe:
        pipe.watch("d")
        raw.call("JSON.NUMINCRBY", "d", "$.a", "1")
        pipe.multi()
        pipe.execute_command("JSON.GET", "d")
        with pytest.raises(Exception, match="Watched"):
            pipe.execute()


def test_events(raw, connect):
    raw.call("CONFIG", "SET", "notify-keyspace-events", "KEA")
    listener = connect()
    listener.call("PSUBSCRIBE", "__keyevent*")
    raw.call("JSON.SET", "d", "$", '{"n":1,"s":"x","l":[1,2],"b":true}')
    raw.call("JSON.SET", "d", "$.n", "2")
    raw.call("JSON.SET", "d", "$.x.y", "2")         # nothing
    raw.call("JSON.NUMINCRBY", "d", "$.n", "1")
    raw.call("JSON.NUMINCRBY", "d", "$.s", "1")     # nothing
    raw.call("JSON.NUMMULTBY", "d", "$.n", "2")
    raw.call("JSON.NUMPOWBY", "d", "$.n", "2")
    raw.call("JSON.STRAPPEND", "d", "$.s", '"y"')
    raw.call("JSON.ARRAPPEND", "d", "$.l", "3")
    raw.call("JSON.ARRINSERT", "d", "$.l", "0", "0")
    raw.call("JSON.ARRPOP", "d", "$.l")
    raw.call("JSON.ARRTRIM", "d", "$.l", "0", "0")
    raw.call("JSON.ARRLEN", "d", "$.l")             # nothing
    raw.call("JSON.TOGGLE", "d", "$.b")
    raw.call("JSON.CLEAR", "d", "$.l")
    raw.call("JSON.CLEAR", "d", "$.l")              # nothing
    raw.call("JSON.MERGE", "d", "$", '{"m":1}')
    raw.call("JSON.MSET", "d", "$.q", "1", "e", "$", "1")
    raw.call("JSON.DEL", "d", "$.q")
    raw.call("JSON.DEL", "d", "$.q")                # nothing
    raw.call("JSON.FORGET", "d")
    wanted = ["set", "set", "numincrby", "nummultby", "numpowby", "strappend", "arrappend", "arrinsert", "arrpop", "arrtrim",
              "toggle", "clear", "merge", "mset", "mset", "del", "del"]
    got = [listener.read() for _ in wanted]
    raw.call("CONFIG", "SET", "notify-keyspace-events", "")
    assert [message[2].decode() for message in got] == [f"__keyevent@0__:json.{name}" for name in wanted]
    assert [message[3] for message in got] == [b"d"] * 14 + [b"e"] + [b"d"] * 2


def test_what_the_server_says_of_it(raw, both):
    modules = [dict(zip(one[::2], one[1::2])) for one in raw.call("MODULE", "LIST")]
    assert {module[b"name"] for module in modules} >= {b"search", b"ReJSON"}
    info = raw.call("COMMAND", "INFO", "JSON.SET")[0]
    assert info[0] == b"json.set" and info[1] == -4 and "@json" in info[6]
    assert b"json.get" in raw.call("COMMAND", "LIST", "FILTERBY", "MODULE", "ReJSON")
    assert b"ft.search" not in [name.lower() for name in raw.call("COMMAND", "LIST", "FILTERBY", "ACLCAT", "json")]
