"""EVAL and its like, as a client sees them."""
import pytest
import redis

from helpers import client

pytest.importorskip("lupa")


@pytest.mark.parametrize("script, reply", [
    ("return {1, 2.9, 'x', {ok='fine'}, true, {'in', {}}}", [1, 2, b"x", b"fine", 1, [b"in", []]]), ("return {1, nil, 3}", [1]),
    ("return {1, false, 3}", [1, None, 3]), ("return nil", None), ("return -7 / 2", -3),
    ("return {KEYS[1], ARGV[1], #KEYS, #ARGV}", [b"k", b"a", 1, 2]),
    ("return redis.pcall('INCR', KEYS[1], 1).err", b"ERR Wrong number of args calling Redis command from script"),
    ("local ok, e = pcall(redis.call, 'LPUSH', KEYS[1], 1) return {ok, e.err:sub(1, 9)}", [None, b"WRONGTYPE"]),
    ("return redis.call('MGET', KEYS[1], 'none')", [b"v", None]), ("return type(redis.call('GET', 'none'))", b"boolean"),
    ("return cjson.encode({a={1, cjson.null, 1.5}, [2]='x'})", b'{"a":[1,null,1.5],"2":"x"}'),
    ("return cjson.encode({})", b"{}"),
    ("local t = cjson.decode([[{\"a\": [true, null, \"\\u00e9\"]}]]).a return {t[1], t[2] == cjson.null, t[3]}",
     [1, 1, "é".encode()]),
    ("return {bit.band(255, 15, 7), bit.bnot(0), bit.lshift(1, 31), bit.arshift(-8, 1), bit.rshift(-1, 28), bit.tohex(255, 4)}",
     [7, -1, -2147483648, -4, 15, b"00ff"]), ("return redis.sha1hex('')", b"da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ("redis.setresp(3) return redis.call('HGETALL', 'h').map.f", b"1"),
    ("#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])", b"v"),
    ("return cjson.encode({'a/b\\127', 2^53, 0.1, {[4]=1}})", rb'["a\/b\u007f",9.007199254741e+15,0.1,[null,null,null,1]]'),
    ("return cmsgpack.pack(1, -33, 300, 70000, 2^32, -2^31, 1.5, 0.1, true, nil, 'x', {}, {1, {a='b'}}, tostring)",
     bytes.fromhex("01d0dfcd012cce00011170cf0000000100000000d280000000ca3fc00000cb3fb999999999999ac3c0a178"
                   "90920181a161a162c0")),
    ("local a, b, c = cmsgpack.unpack(cmsgpack.pack({1, {k=('z'):rep(300)}}, -7, false)) return {#a[2].k, b, type(c)}",
     [300, -7, b"boolean"]),
    ("return {cmsgpack.unpack_one('\\1\\2\\3', 1)}", [2, 2]), ("return {cmsgpack.unpack_limit('\\1\\2\\3', 3, 1)}", [-1, 2, 3]),
    ("local t = {} local u = t for i = 1, 17 do u[1] = {} u = u[1] end return cmsgpack.pack(t)", b"\x91" * 16 + b"\xc0"),
    ("return struct.pack('>Ihb!4i s c2 x <h d', 1, -2, 3, 4, 'ab', 'xyz', 515, 0.5)",
     b"\0\0\0\1\xff\xfe\3\0\0\0\0\4ab\0xy\0\3\2\0\0\0\0\0\0\xe0\x3f"),
    ("return {struct.unpack('<I2c0sb', '\\2\\0abcd\\0\\255')}", [b"ab", b"cd", -1, 9]),
    ("return {struct.unpack('>H', 'abc', 2)}", [0x6263, 4]), ("return {struct.size('!8bi8'), struct.size('bi8')}", [16, 9]),
    ("return coroutine.wrap(function(x) return x .. ARGV[2] end)('c')", b"cb"), ("return ('x'):rep(3)", b"xxx")])
def test_replies(r2, script, reply):
    r2.set("k", "v")
    r2.hset("h", "f", 1)
    assert r2.eval(script, 1, "k", "a", "b") == reply


@pytest.mark.parametrize("script, text", [
    ("return redis.call('LPUSH', 'k', 1)", "WRONGTYPE .* script: [0-9a-f]{40}, on @user_script:1"),
    ("return nope", "user_script:1: Script attempted to access nonexistent"),
    ("\n\nx = 1", "user_script:3: Attempt to modify a readonly table"), ("string.sub = 1", "readonly table"),
    ("rawset(_G, 'x', 1)", "readonly table"),
    ("return x x", "Error compiling script"), ("error('boo')", "user_script:1: boo"), ("error({err='MY text'})", "^MY text"),
    ("return redis.error_reply('MY text')", "^MY text"),
    ("return io.open('/etc/passwd')", "nonexistent global variable 'io'"),
    ("return os.execute('ls')", "attempt to call field 'execute'"),
    ("return redis.call('MULTI')", "not allowed from script"), ("return redis.call('NOPE')", "Unknown Redis command"),
    ("return redis.call('SET', {}, 1)", "must be strings or integers"),
    ("#!lua flags=no-writes\nreturn redis.call('SET', 'k', 1)", "Write commands are not allowed"),
    ("#!js\nreturn 1", "Could not find scripting engine 'js'"),
    ("return loadstring('\\27Lua')()", "attempt to call a nil value"), ("\x1bLua", "binary chunks"),
    ("return cjson.encode(tostring)", "user_script:1: Cannot serialise function: type not supported"),
    ("return cjson.encode({[1]=1, [50]=1})", "excessively sparse"), ("cmsgpack.pack = 1", "readonly table"),
    ("return cmsgpack.pack()", "MessagePack pack needs input"), ("return cmsgpack.unpack('\\217')", "Missing bytes in input"),
    ("return cmsgpack.unpack('\\193')", "Bad data format in input"), ("return cmsgpack.unpack({})", "string expected, got table"),
    ("\nlocal x = struct.pack('b', 'y')", "user_script:2: bad argument #2 to 'pack' .number expected, got string"),
    ("return struct.unpack('i', 'abc')", "data string too short"), ("return struct.unpack('c0', 'a')", "needs a previous size"),
    ("return struct.unpack('s', 'a')", "unfinished string"), ("return struct.size('s')", "option 's' has no fixed size"),
    ("return struct.size('!3b')", "alignment 3 is not a power of 2"), ("return struct.size('i33')", "larger than limit of 32"),
    ("return struct.pack('j')", "invalid format option 'j'"),
    ("return struct.unpack('b', 'a', 0)", "offset must be 1 or greater")])
def test_errors(r2, script, text):
    r2.set("k", "v")
    with pytest.raises(redis.ResponseError, match=text):
        r2.eval(script, 0)
    assert r2.get("k") == b"v"


def test_known_scripts(r2):
    sha = r2.script_load("return {KEYS[1], redis.call('INCR', KEYS[1])}")
    assert r2.evalsha(sha, 1, "n") == [b"n", 1] and r2.script_exists(sha, "0" * 40) == [True, False]
    assert r2.register_script("return ARGV[1] * 2")(args=[21]) == 42
    with pytest.raises(redis.ResponseError, match="not allowed from read-only"):
        r2.execute_command("EVALSHA_RO", sha, 1, "n")
    assert r2.execute_command("SCRIPT", "DEBUG", "NO") == b"OK"
    r2.script_flush()
    with pytest.raises(redis.exceptions.NoScriptError):
        r2.evalsha(sha, 1, "n")
    for words in (("EVAL", "return 1", 2, "a"), ("EVAL", "return 1", -1), ("EVAL", "return 1", "x"), ("SCRIPT", "KILL"),
                  ("SCRIPT", "DEBUG", "YES")):
        with pytest.raises(redis.ResponseError):
            r2.execute_command(*words)


def test_types_of_resp3(r3):
    script = "redis.setresp(3) return {true, false, {double=1.5}, {map={a=1}}}"
    assert r3.eval(script, 0) == [True, False, 1.5, {b"a": 1}]
    assert r3.eval("redis.setresp(3) return redis.call('SMEMBERS', 'none')", 0) in (set(), [])
    assert r3.eval("return {true, false}", 0) == [1, None]


def test_inside_a_transaction_and_what_scripts_may_not(r2):
    pipe = r2.pipeline()
    pipe.set("a", 1)
    pipe.eval("redis.call('SELECT', 3) redis.call('SET', 'there', 1) return redis.call('BLPOP', 'none', 0)", 0)
    pipe.get("a")
    assert pipe.execute() == [True, None, b"1"]
    assert r2.get("there") is None
    r2.execute_command("ACL", "SETUSER", "ann", "reset", "on", "nopass", "~a", "+eval", "+get")
    ann = client(r2.connection_pool.connection_kwargs["port"], username="ann", password="x")
    assert ann.eval("return redis.call('GET', KEYS[1])", 1, "a") == b"1"
    for script in ("return redis.call('GET', 'b')", "return redis.call('SET', 'a', 2)"):
        with pytest.raises(redis.ResponseError, match="permission"):
            ann.eval(script, 1, "a")
    ann.close()
    r2.execute_command("ACL", "DELUSER", "ann")


def test_a_search_from_a_script(r2):
    r2.execute_command("FT.CREATE", "i", "SCHEMA", "t", "TEXT")
    script = "redis.call('HSET', 'd', 't', 'hello') return redis.call('FT.SEARCH', 'i', 'hello')"
    assert r2.eval(script, 0) == [1, b"d", [b"t", b"hello"]]
