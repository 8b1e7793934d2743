"""EVAL, EVALSHA and SCRIPT: Lua in the server.

A script runs as a transaction does: at one moment, nothing between its commands, and what it changes is logged as a whole."""
from weakref import WeakKeyDictionary

from respserver import lua
from respserver.protocol import errors
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK, encode
from respserver.registry import command

from .arguments import keys_behind, to_int
from .help import declare_help

#: Seconds after which a script is ended: nobody else is served meanwhile.
TIME_LIMIT = 5.0
_FLAGS = "noscript movablekeys may_replicate no_mandatory_keys stale skip_monitor"
_NO_INTERPRETER = "ERR Scripts need the package lupa, which is not installed: pip install 'vamana-server[lua]'"
_NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."

_runners: WeakKeyDictionary = WeakKeyDictionary()       # Server -> Runner


class Runner:
    """The scripts of one server, and the one that runs."""

    def __init__(self, server):
        self.server = server
        self.client = None              # whose script runs; None: none
        self.is_reader = False          # it may not write
        self.lua = lua.Interpreter(self.call, self.set_protocol)

    def run(self, client, script, words, is_reader: bool):
        """EVAL's arguments behind the script: the number of keys, keys, arguments."""
        n_keys = to_int(words[0])
        if n_keys > len(words) - 1:
            raise CommandError("ERR Number of keys can't be greater than number of args")
        if n_keys < 0:
            raise CommandError("ERR Number of keys can't be negative")
        keyspace, dispatcher = client.server.keyspace, client.server.dispatcher
        outside = not client.in_exec
        db, proto = client.db, client.proto
        journal, start = dispatcher.journal, 0
        if outside:
            now, clock = keyspace.now_ms(), keyspace.now_ms
            keyspace.now_ms = lambda: now
            client.in_exec = True
            start = journal.begin() if journal is not None else 0
        self.client, self.is_reader, self.lua.is_resp3 = client, is_reader or script.is_reader, False
        client.proto = 2
        try:
            return self.lua.run(script, words[1:1 + n_keys], words[1 + n_keys:], TIME_LIMIT)
        except lua.ScriptError as error:
            raise CommandError(str(error)) from None
        finally:
            self.client = None
            client.db, client.proto = db, proto
            if outside:
                if journal is not None and journal is dispatcher.journal:
                    journal.end(start)
                client.in_exec = False
                keyspace.now_ms = clock

    def set_protocol(self, version: int) -> None:
        self.client.proto = version
        self.lua.is_resp3 = version == 3

    def call(self, words: list) -> bytes:
        """A command of the script that runs; returns the encoded reply."""
        client, dispatcher = self.client, self.server.dispatcher
        found, n_name, problem = dispatcher.find(words)
        if found is None or problem:
            return self._refused("ERR Unknown Redis command called from script" if found is None else problem)
        if not found.accepts(len(words)):
            return self._refused("ERR Wrong number of args calling Redis command from script")
        if "noscript" in found.flags:
            return self._refused("ERR This Redis command is not allowed from script")
        if "write" in found.flags:
            if self.is_reader:
                return self._refused("ERR Write commands are not allowed from read-only scripts.")
            if dispatcher.refusal_of_writes:
                return self._refused(dispatcher.refusal_of_writes)
        if dispatcher.out_of_memory and "denyoom" in found.flags:
            return self._refused(errors.OUT_OF_MEMORY)
        if not client.user.is_unlimited and (problem := self.server.acl.refusal(client, found, words)):
            return self._refused(problem)
        return dispatcher.call(client, found, words, n_name)

    @staticmethod
    def _refused(text: str) -> bytes:
        return encode(CommandError(text), 2)


def _runner(server) -> Runner:
    if not lua.available:
        raise CommandError(_NO_INTERPRETER)
    found = _runners.get(server)
    if found is None:
        found = _runners[server] = Runner(server)
    return found


def _eval(client, code: bytes, words, is_reader: bool):
    runner = _runner(client.server)
    try:
        script = runner.lua.load(code)
    except lua.ScriptError as error:
        raise CommandError(str(error)) from None
    return runner.run(client, script, words, is_reader)


def _evalsha(client, sha: bytes, words, is_reader: bool):
    runner = _runner(client.server)
    script = runner.lua.scripts.get(sha.lower())
    if script is None:
        raise CommandError(_NO_SCRIPT)
    return runner.run(client, script, words, is_reader)


@command("EVAL", arity=-3, group="scripting", since="2.6.0", flags=_FLAGS, get_keys=keys_behind(2),
         complexity="Depends on the script that is executed.", summary="Runs a Lua script.")
def eval_(client, script, *words):
    """Runs a script; it is known by its SHA1 from then on."""
    return _eval(client, script, words, False)


@command("EVAL_RO", arity=-3, group="scripting", since="7.0.0", flags=_FLAGS + " readonly", get_keys=keys_behind(2),
         complexity="Depends on the script that is executed.", summary="Runs a Lua script that changes nothing.")
def eval_ro(client, script, *words):
    """Runs a script that may not write."""
    return _eval(client, script, words, True)


@command("EVALSHA", arity=-3, group="scripting", since="2.6.0", flags=_FLAGS, get_keys=keys_behind(2),
         complexity="Depends on the script that is executed.", summary="Runs a known Lua script by its SHA1.")
def evalsha(client, sha, *words):
    """Runs a script that EVAL or SCRIPT LOAD has seen."""
    return _evalsha(client, sha, words, False)


@command("EVALSHA_RO", arity=-3, group="scripting", since="7.0.0", flags=_FLAGS + " readonly", get_keys=keys_behind(2),
         complexity="Depends on the script that is executed.",
         summary="Runs a known Lua script that changes nothing, by its SHA1.")
def evalsha_ro(client, sha, *words):
    """Runs a script that EVAL or SCRIPT LOAD has seen; it may not write."""
    return _evalsha(client, sha, words, True)


@command("SCRIPT LOAD", arity=3, group="scripting", since="2.6.0", flags="noscript stale",
         complexity="O(N) for N bytes of the script", summary="Compiles a Lua script for EVALSHA.")
def script_load(client, code):
    """Makes a script known; returns its SHA1."""
    try:
        return _runner(client.server).lua.load(code).sha
    except lua.ScriptError as error:
        raise CommandError(str(error)) from None


@command("SCRIPT EXISTS", arity=-3, group="scripting", since="2.6.0", flags="noscript", complexity="O(N) for N scripts",
         summary="Tells which scripts are known.")
def script_exists(client, *shas):
    """1 or 0 for each SHA1."""
    known = _runner(client.server).lua.scripts
    return [int(sha.lower() in known) for sha in shas]


@command("SCRIPT FLUSH", arity=-2, group="scripting", since="2.6.0", flags="noscript", complexity="O(N) for N scripts",
         summary="Forgets all scripts.")
def script_flush(client, *words):
    """Forgets the scripts and what they left behind."""
    if len(words) > 1 or words and words[0].upper() not in (b"ASYNC", b"SYNC"):
        raise CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    _runners.pop(client.server, None)
    return OK


@command("SCRIPT KILL", arity=2, group="scripting", since="2.6.0", flags="noscript allow_busy", complexity="O(1)",
         summary="Ends the script that runs: there is none when a command can run.")
def script_kill(client):
    """Scripts end by themselves (TIME_LIMIT)."""
    raise CommandError("NOTBUSY No scripts in execution right now.")


@command("SCRIPT DEBUG", arity=3, group="scripting", since="3.2.0", flags="noscript", complexity="O(1)",
         summary="Turns the debugging of scripts off: there is none.")
def script_debug(client, mode):
    """NO is how it is; for YES and SYNC there is no debugger."""
    if mode.upper() not in (b"NO", b"YES", b"SYNC"):
        raise CommandError("ERR Use SCRIPT DEBUG YES/SYNC/NO")
    if mode.upper() != b"NO":
        raise CommandError("ERR There is no debugger for scripts here")
    return OK


declare_help("SCRIPT", "scripting", "5.0.0", (
    "DEBUG NO", "    Debug no scripts.", "EXISTS <sha1> [<sha1> ...]", "    Which scripts are known.",
    "FLUSH [ASYNC|SYNC]", "    Forget all scripts.",
    "KILL", "    End the script that runs.", "LOAD <script>", "    Compile a script without running it."))
