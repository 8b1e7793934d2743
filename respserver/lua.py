"""Lua for scripts: one interpreter for a server, closed off from the machine, with what scripts of Redis find in it.

Scripts see redis.call and its like, cjson, cmsgpack, struct, bit, and Lua 5.1's string, table, math and coroutine; KEYS and ARGV.
What they could change for others is read-only. Needs the package lupa (`available`)."""
import hashlib
import json
import logging
import math
import re
import time

from .protocol.errors import CommandError
from .protocol.reply import BigNumber, Pairs, SetOf, Simple, Verbatim

try:
    from lupa import lua51 as _lua

    from . import lua_pack
except ImportError:
    _lua = None

log = logging.getLogger("vamana")

available = _lua is not None

#: Bytes that scripts may take.
_MEMORY = 512 << 20
_DEPTH = 1000

# The parameters are functions of Python. What Lua gives a script is reached through proxies without anything of their own,
# so that nothing in them can be changed; errors know the line they come from. Where its time is up, a hook ends a script, also
# one that catches errors.
_PRELUDE = b"""
local python_call, python_log, python_sha1, python_setresp, python_encode, python_decode, python_bit, python_pack, clock = ...
local sethook, getinfo, load, rawset_, rawget_ = debug.sethook, debug.getinfo, loadstring, rawset, rawget
local error, type, pcall, setmetatable, setfenv, tostring, select = error, type, pcall, setmetatable, setfenv, tostring, select
local deadline = math.huge
local run
local protected = setmetatable({}, {__mode = 'k'})

local watch
function watch()
  if clock() > deadline then
    if getinfo(2, 'f').func == run then
      sethook()
      return
    end
    sethook(watch, '', 1)
    error({err = 'ERR Error running script: it took too long'}, 0)
  end
end

local function read_only(library)
  local proxy = setmetatable({}, {__index = library, __metatable = false,
                                  __newindex = function() error('Attempt to modify a readonly table', 2) end})
  protected[proxy] = true
  return proxy
end

local function where()
  local found = getinfo(3, 'l')
  return found and found.currentline > 0 and found.currentline or 1         -- a call that returns at once leaves no line
end

local redis = {LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3, REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2,
               REPL_REPLICA = 2, REPL_ALL = 3, REDIS_VERSION = '8.10.0', REDIS_VERSION_NUM = 0x080a00}
function redis.pcall(...) return python_call(...) end
function redis.call(...)
  local reply = python_call(...)
  if type(reply) == 'table' and rawget_(reply, 'err') then
    reply.line = where()
    error(reply, 0)
  end
  return reply
end
function redis.error_reply(text)
  if type(text) ~= 'string' then return {err = 'ERR wrong number or type of arguments'} end
  return {err = text:sub(1, 1) == '-' and text:sub(2) or (text:find(' ') and text or 'ERR ' .. text)}
end
function redis.status_reply(text) return {ok = text} end
function redis.sha1hex(...)
  if select('#', ...) ~= 1 then error('wrong number of arguments', 2) end
  return python_sha1(tostring((...)))
end
function redis.log(level, ...) python_log(level, ...) end
function redis.setresp(version)
  if version ~= 2 and version ~= 3 then error('RESP version must be 2 or 3.', 2) end
  python_setresp(version)
end
function redis.set_repl() end
function redis.replicate_commands() return true end
function redis.breakpoint() return false end

local null = newproxy(true)
getmetatable(null).__tostring = function() return 'userdata: NULL' end
getmetatable(null).__metatable = false
local function checked(ok, ...)
  if ok then return ... end
  local found = getinfo(3, 'Sl')                    -- whose call it is; one whose result is returned at once leaves no line
  local line = found and found.what ~= 'C' and 'user_script:' .. (found.currentline > 0 and found.currentline or 1) .. ': ' or ''
  error(line .. (...), 0)
end
local cjson = {null = null}
function cjson.encode(value) return checked(python_encode(value, null)) end
function cjson.decode(text) return checked(python_decode(text, null)) end

local bit = {}
for _, name in ipairs{'tobit', 'bnot', 'band', 'bor', 'bxor', 'lshift', 'rshift', 'arshift', 'tohex'} do
  bit[name] = function(...) return checked(python_bit(name, ...)) end
end

local cmsgpack, struct = {}, {}
for _, name in ipairs{'pack', 'unpack', 'unpack_one', 'unpack_limit'} do
  cmsgpack[name] = function(...) return checked(python_pack('cmsgpack.' .. name, ...)) end
end
for _, name in ipairs{'pack', 'unpack', 'size'} do
  struct[name] = function(...) return checked(python_pack('struct.' .. name, ...)) end
end

local create, wrap = coroutine.create, coroutine.wrap
local threads = {resume = coroutine.resume, status = coroutine.status, yield = coroutine.yield, running = coroutine.running}
function threads.create(f)
  local thread = create(f)
  sethook(thread, watch, '', 100000)
  return thread
end
function threads.wrap(f)
  return wrap(function(...)
    sethook(watch, '', 100000)
    return f(...)
  end)
end

local text = {}
for name, f in pairs(string) do if name ~= 'dump' then text[name] = f end end
getmetatable('').__index = text
getmetatable('').__metatable = false

local base = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  xpcall = xpcall,
  rawequal = rawequal, rawget = rawget, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
  setmetatable = setmetatable, getmetatable = getmetatable, collectgarbage = function() return collectgarbage('count') end,
  string = read_only(text), table = read_only(table), math = read_only(math), coroutine = read_only(threads),
  os = read_only({clock = os.clock}), redis = read_only(redis), server = read_only(redis),
  cjson = read_only(cjson), cmsgpack = read_only(cmsgpack), struct = read_only(struct), bit = read_only(bit)}
local environment
function base.rawset(t, k, v)
  if protected[t] then error('Attempt to modify a readonly table', 2) end
  return rawset_(t, k, v)
end
function base.loadstring(code, name)
  if type(code) == 'string' and code:byte(1) == 27 then return nil, 'binary chunks are not loaded' end
  local f, problem = load(code, name)
  return f and setfenv(f, environment), problem
end
environment = setmetatable({}, {__metatable = false,
  __index = function(_, name)
    local value = base[name]
    if value == nil then error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2) end
    return value
  end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end})
base._G = environment
protected[environment] = true

local function failed(problem)
  if type(problem) == 'table' then return problem end
  return {err = type(problem) == 'string' and 'ERR ' .. problem or 'ERR unknown error', is_lua = true}
end

local function compile(code)
  local f, problem = load(code, '@user_script')
  return f and setfenv(f, environment), problem
end
function run(f, keys, arguments, seconds)
  base.KEYS, base.ARGV = keys, arguments
  deadline = clock() + seconds
  sethook(watch, '', 100000)
  local ok, value = pcall(f)
  sethook()
  base.KEYS, base.ARGV = nil, nil
  if ok then return value end
  return false, failed(value)
end
return compile, run
"""


class ScriptError(Exception):
    """A script that did not compile or failed; the text is what the client gets."""


class Script:
    """A script that has been compiled. `function`: of Lua; `is_reader`: it says that it writes nothing."""

    __slots__ = ("sha", "function", "is_reader")

    def __init__(self, sha: bytes, function, is_reader: bool):
        self.sha = sha
        self.function = function
        self.is_reader = is_reader


class Interpreter:
    """Compiles and runs scripts. `call(words)` runs a command for the script that is running and returns its encoded reply;
    `set_protocol(n)` sets that of its replies."""

    def __init__(self, call, set_protocol):
        self.scripts: dict[bytes, Script] = {}
        self._call = call
        self._set_protocol = set_protocol
        self._runtime = _lua.LuaRuntime(encoding=None, register_eval=False, register_builtins=False, unpack_returned_tuples=True,
                                        max_memory=_MEMORY)
        self._table = self._runtime.table_from
        prelude = self._runtime.compile(_PRELUDE)
        self._compile, self._run = prelude(self._command, self._log, self._sha1, self._set_resp, self._encode_json,
                                                       self._decode_json, self._bits, self._packed, time.monotonic)

    def load(self, code: bytes) -> Script:
        """The script of a text, compiled unless it is known. Raises ScriptError."""
        sha = hashlib.sha1(code).hexdigest().encode()
        script = self.scripts.get(sha)
        if script is None:
            body, is_reader = _without_head(code)
            if body.startswith(b"\x1b"):
                raise ScriptError("ERR Error compiling script (new function): binary chunks are not loaded")
            found = self._compile(body)
            function, problem = found if type(found) is tuple else (found, None)
            if function is None:
                raise ScriptError(f"ERR Error compiling script (new function): {problem.decode('utf-8', 'replace')}")
            script = self.scripts[sha] = Script(sha, function, is_reader)
        return script

    def run(self, script: Script, keys, arguments, seconds: float):
        """Runs a script and returns its reply as protocol.reply encodes it. Raises ScriptError."""
        try:
            value = self._run(script.function, self._table(list(keys)), self._table(list(arguments)), seconds)
        except _lua.LuaMemoryError:
            raise ScriptError("ERR Error running script: not enough memory") from None
        except _lua.LuaError as error:
            raise ScriptError(f"ERR Error running script: {error}") from None
        if type(value) is tuple:
            self._fail(script, value[1])
        return self._reply(value, 0)

    @staticmethod
    def _fail(script: Script, problem) -> None:
        text = problem[b"err"]
        text = text.decode("utf-8", "replace") if type(text) is bytes else "ERR unknown error"
        line = problem[b"line"]
        if line is None and problem[b"is_lua"]:
            found = re.match(r"ERR user_script:(\d+):", text)
            line = found[1] if found else None
        where = f" script: {script.sha.decode()}, on @user_script:{line}." if line is not None else ""
        raise ScriptError(re.sub(r"[\r\n]", " ", text) + where)

    # Called by scripts

    def _command(self, *words):
        if not words:
            return self._error("ERR Please specify at least one argument for this redis.call() call")
        texts = []
        for word in words:
            if type(word) is not bytes:
                if type(word) not in (int, float):
                    return self._error("ERR Lua redis lib command arguments must be strings or integers")
                word = b"%d" % word if word == int(word) else b"%.17g" % word
            texts.append(word)
        return self._value(self._call(texts), 0)[0]

    def _error(self, text: str):
        return self._table({b"err": text.encode("utf-8", "surrogateescape")})

    @staticmethod
    def _log(level=None, *words):
        text = b" ".join(word if type(word) is bytes else str(word).encode() for word in words).decode("utf-8", "replace")
        log.log({0: logging.DEBUG, 1: logging.DEBUG, 3: logging.WARNING}.get(level, logging.INFO), "%s", text)

    @staticmethod
    def _sha1(text: bytes) -> bytes:
        return hashlib.sha1(text).hexdigest().encode()

    def _set_resp(self, version: int) -> None:
        self._set_protocol(version)

    def _value(self, reply: bytes, at: int):
        """A reply as Lua has it, and where it ends."""
        end = reply.index(b"\r\n", at)
        kind, head, at = reply[at:at + 1], reply[at + 1:end], end + 2
        if kind == b":":
            return int(head), at
        if kind == b"$":
            n = int(head)
            return (False, at) if n < 0 else (reply[at:at + n], at + n + 2)
        if kind == b"+" or kind == b"-":
            return self._table({b"ok" if kind == b"+" else b"err": head}), at
        if kind == b"_":
            return None, at
        if kind == b"#":
            return head == b"t", at
        if kind == b",":
            return self._table({b"double": float(head)}), at
        if kind == b"(":
            return self._table({b"big_number": head}), at
        if kind == b"=":
            n = int(head)
            inner = self._table({b"format": reply[at:at + 3], b"string": reply[at + 4:at + n]})
            return self._table({b"verbatim_string": inner}), at + n + 2
        n = int(head)
        if n < 0:
            return False, at
        table = self._table({})
        for i in range(n):
            value, at = self._value(reply, at)
            if kind == b"%":
                table[value], at = self._value(reply, at)
            elif kind == b"~":
                table[value] = True
            else:
                table[i + 1] = value
        return (self._table({b"map" if kind == b"%" else b"set": table}) if kind in b"%~" else table), at

    # What scripts return

    def _reply(self, value, depth: int):
        kind = type(value)
        if kind is int or kind is float:
            return int(max(-(1 << 63), min(value, (1 << 63) - 1))) if value == value else -(1 << 63)
        if kind is bytes:
            return value
        if kind is bool:
            return value if self.is_resp3 else 1 if value else None
        if value is None or _lua.lua_type(value) != "table":
            return None
        if depth > _DEPTH:
            raise ScriptError("ERR reached lua stack limit")
        error = value[b"err"]
        if type(error) is bytes:
            text = re.sub(r"[\r\n]", " ", error.decode("utf-8", "surrogateescape"))
            raise ScriptError(text) if depth == 0 else _Nested(text)
        status = value[b"ok"]
        if type(status) is bytes:
            return Simple(re.sub(r"[\r\n]", " ", status.decode("utf-8", "surrogateescape")))
        number = value[b"double"]
        if type(number) in (int, float):
            return float(number)
        big = value[b"big_number"]
        if type(big) is bytes and re.fullmatch(rb"[+-]?\d+", big):
            return BigNumber(big)
        inner = value[b"map"]
        if inner is not None and _lua.lua_type(inner) == "table":
            return Pairs([(self._inner(key, depth), self._inner(one, depth)) for key, one in inner.items()])
        inner = value[b"set"]
        if inner is not None and _lua.lua_type(inner) == "table":
            return SetOf([self._inner(key, depth) for key in inner.keys()])
        inner = value[b"verbatim_string"]
        if inner is not None and _lua.lua_type(inner) == "table" and type(inner[b"string"]) is bytes:
            return Verbatim(inner[b"string"].decode("utf-8", "surrogateescape"))
        found, i = [], 1
        while (one := value[i]) is not None:
            found.append(self._inner(one, depth))
            i += 1
        return found

    is_resp3 = False        # whether the script has asked for RESP3

    def _inner(self, value, depth: int):
        try:
            return self._reply(value, depth + 1)
        except _Nested as error:
            return CommandError(str(error))

    # cjson, bit, cmsgpack and struct

    def _encode_json(self, value, null):
        out = []
        try:
            self._put_json(out, value, 0)
            return True, "".join(out).encode("utf-8", "surrogateescape")
        except (ValueError, RecursionError) as error:
            return False, str(error).encode()

    def _put_json(self, out: list, value, depth: int) -> None:
        """Appends a value of Lua as JSON: numbers with 14 digits."""
        kind = type(value)
        if kind is bytes:
            out.append(_json_string(value))
        elif kind is int or kind is float:
            if not math.isfinite(value):
                raise ValueError("Cannot serialise number: must not be NaN or Inf")
            out.append("%.14g" % value)
        elif value is None or kind is bool:
            out.append("null" if value is None else "true" if value else "false")
        elif _lua.lua_type(value) == "userdata":          # cjson.null
            out.append("null")
        elif _lua.lua_type(value) != "table":
            raise ValueError(f"Cannot serialise {_lua.lua_type(value)}: type not supported")
        elif depth >= _DEPTH:
            raise ValueError("Cannot serialise, excessive depth (1001)")
        else:
            self._put_table(out, value, depth + 1)

    def _put_table(self, out: list, table, depth: int) -> None:
        pairs = list(table.items())
        comma = ""
        if pairs and all(type(key) is int and key > 0 for key, _ in pairs):
            most = max(key for key, _ in pairs)
            if most > 2 * len(pairs) and most > 10:
                raise ValueError("Cannot serialise table: excessively sparse array")
            for i in range(1, most + 1):
                out.append(comma or "[")
                self._put_json(out, table[i], depth)
                comma = ","
            out.append("]")
            return
        for key, one in pairs:
            if type(key) not in (bytes, int, float):
                raise ValueError(f"Cannot serialise {_type(key)}: table key must be a number or string")
            out.append(comma or "{")
            out.append(_json_string(key) if type(key) is bytes else '"%.14g"' % key)
            out.append(":")
            self._put_json(out, one, depth)
            comma = ","
        out.append("}" if comma else "{}")

    def _decode_json(self, text, null):
        if type(text) is not bytes:
            return False, b"bad argument #1 to 'decode' (string expected)"
        try:
            return True, self._of_json(json.loads(text.decode("utf-8", "surrogateescape")), null, 0)
        except (ValueError, RecursionError) as error:
            return False, str(error).encode("utf-8", "replace")

    def _of_json(self, value, null, depth: int):
        if type(value) is str:
            return value.encode("utf-8", "surrogatepass" if any("\ud800" <= c < "\udc80" for c in value) else "surrogateescape")
        if value is None:
            return null
        if type(value) is int:
            return float(value) if abs(value) > 1 << 53 else value
        if type(value) not in (list, dict):
            return value
        if depth >= _DEPTH:
            raise ValueError("Found too many nested data structures (1001)")
        table = self._table({})
        for key, one in enumerate(value, 1) if type(value) is list else value.items():
            table[key if type(key) is int else self._of_json(key, null, 0)] = self._of_json(one, null, depth + 1)
        return table

    @staticmethod
    def _bits(name, *numbers):
        if not numbers or not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            return False, b"number expected"
        name = name.decode()
        found = round(numbers[0]) & 0xffffffff
        if name == "tohex":
            n = round(numbers[1]) if len(numbers) > 1 else 8
            digits = b"%08X" % found if n < 0 else b"%08x" % found
            return True, digits[8 - min(abs(n), 8):]
        if name in ("lshift", "rshift", "arshift"):
            if len(numbers) < 2:
                return False, b"number expected"
            by = round(numbers[1]) & 31
            if name == "lshift":
                found <<= by
            else:
                found = (found - (found >> 31 << 32 if name == "arshift" else 0)) >> by
        elif name == "bnot":
            found = ~found
        for number in numbers[1:]:
            other = round(number) & 0xffffffff
            if name == "band":
                found &= other
            elif name == "bor":
                found |= other
            elif name == "bxor":
                found ^= other
        found &= 0xffffffff
        return True, found - (found >> 31 << 32)

    def _packed(self, name, *words):
        """A function of cmsgpack or struct: True and what it returns, or False and what is wrong."""
        needs_tables, function = lua_pack.FUNCTIONS[name]
        try:
            found = function(self._table, words) if needs_tables else function(words)
            return True, *(found if type(found) is list else (found,))
        except (ValueError, OverflowError) as error:
            return False, str(error).encode("utf-8", "replace")


def _type(value) -> str:
    return "boolean" if type(value) is bool else _lua.lua_type(value)


def _json_string(value: bytes) -> str:
    text = json.encoder.encode_basestring(value.decode("utf-8", "surrogateescape"))
    return text.replace("/", "\\/").replace("\x7f", "\\u007f")


class _Nested(Exception):
    """An error inside an array that a script returns."""


def _without_head(code: bytes) -> tuple[bytes, bool]:
    """A script without its first line `#!lua flags=...` (the others keep their numbers), and whether that says no-writes."""
    if not code.startswith(b"#!"):
        return code, False
    head, newline, rest = code.partition(b"\n")
    if not newline:
        raise ScriptError("ERR Invalid script shebang")
    words = head[2:].split()
    if not words or words[0] != b"lua":
        engine = words[0].decode("utf-8", "replace") if words else ""
        raise ScriptError(f"ERR Could not find scripting engine '{engine}'")
    is_reader = False
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise ScriptError(f"ERR Unknown lua shebang option: {word.decode('utf-8', 'replace')}")
        for flag in filter(None, word[6:].split(b",")):
            if flag not in (b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"):
                raise ScriptError(f"ERR Unexpected flag in script shebang: {flag.decode('utf-8', 'replace')}")
            is_reader |= flag == b"no-writes"
    return b"\n" + rest, is_reader
