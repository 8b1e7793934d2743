"""Watching a server at work: SLOWLOG, LATENCY, MONITOR, MEMORY, DEBUG."""
import time

from respserver import crash
from respserver.memory import memory_report, purge, size_of
from respserver.protocol import errors
from respserver.protocol.errors import NO_SUCH_KEY, SYNTAX, CommandError
from respserver.protocol.reply import OK, Pairs, Simple, Verbatim
from respserver.registry import COMMANDS, command

from .arguments import to_int
from .generic import encoding
from .help import declare_help

_ADMIN = "admin loading stale"
_LATENCY = "admin noscript loading stale"


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


# SLOWLOG

@command("SLOWLOG GET", arity=-2, group="server", since="2.2.12", flags=_ADMIN,
         complexity="O(N) where N is the number of entries returned",
         summary="Returns the slow log's entries.")
def slowlog_get(client, *count):
    """The newest 10, or as many as asked for (-1: all)."""
    if len(count) > 1:
        raise CommandError(errors.UNKNOWN_SUBCOMMAND_OR_ARITY.format("get", "SLOWLOG"))
    n = to_int(count[0], errors.SLOWLOG_COUNT) if count else 10
    if n < -1:
        raise CommandError(errors.SLOWLOG_COUNT)
    return [list(entry) for entry in client.server.dispatcher.slowlog.newest(n)]


@command("SLOWLOG LEN", arity=2, group="server", since="2.2.12", flags=_ADMIN, complexity="O(1)",
         summary="Returns the number of entries in the slow log.")
def slowlog_len(client):
    """How many entries are kept."""
    return len(client.server.dispatcher.slowlog.entries)


@command("SLOWLOG RESET", arity=2, group="server", since="2.2.12", flags=_ADMIN,
         complexity="O(N) where N is the number of entries in the slowlog",
         summary="Clears all entries from the slow log.")
def slowlog_reset(client):
    """Forgets all entries."""
    client.server.dispatcher.slowlog.entries.clear()
    return OK


declare_help("SLOWLOG", "server", "6.2.0", (
    "GET [<count>]",
    "    The newest <count> entries (default: 10, -1: all): id, Unix time, microseconds, words, address and name of the client.",
    "LEN", "    Number of entries.",
    "RESET", "    Forget all entries.",
))


# LATENCY

@command("LATENCY LATEST", arity=2, group="server", since="2.8.13", flags=_LATENCY, complexity="O(1)",
         summary="Returns the latest latency samples for all events.")
def latency_latest(client):
    """Event, time of the last sample, its milliseconds, the longest ever, sum and number of the samples kept."""
    monitor = client.server.dispatcher.latency
    return [[event, samples[-1][0], samples[-1][1], monitor.maxima[event], sum(ms for _, ms in samples), len(samples)]
            for event, samples in monitor.events.items()]


@command("LATENCY HISTORY", arity=3, group="server", since="2.8.13", flags=_LATENCY, complexity="O(1)",
         summary="Returns timestamp-latency samples for an event.")
def latency_history(client, event):
    """Time and milliseconds of each sample."""
    return [list(sample) for sample in client.server.dispatcher.latency.events.get(_text(event), ())]


@command("LATENCY RESET", arity=-2, group="server", since="2.8.13", flags=_LATENCY, complexity="O(1)",
         summary="Resets the latency data for one or more events.")
def latency_reset(client, *events):
    """Forgets these events, or all; answers how many there were."""
    return client.server.dispatcher.latency.reset([_text(event) for event in events])


@command("LATENCY GRAPH", arity=3, group="server", since="2.8.13", flags=_LATENCY, complexity="O(1)",
         summary="Returns a latency graph for an event.")
def latency_graph(client, event):
    """One row per sample: its age and a bar."""
    samples = client.server.dispatcher.latency.events.get(_text(event))
    if not samples:
        raise CommandError(errors.NO_SAMPLES.format(_text(event)))
    longest, now = max(ms for _, ms in samples), int(time.time())
    rows = [f"{_text(event)} - high {longest} ms, low {min(ms for _, ms in samples)} ms (all time high "
            f"{client.server.dispatcher.latency.maxima[_text(event)]} ms)", "-" * 80]
    rows += [f"{now - when:>6}s {ms:>6} ms " + "#" * max(1, 60 * ms // max(1, longest)) for when, ms in samples]
    return Verbatim("\n".join(rows) + "\n")


@command("LATENCY DOCTOR", arity=2, group="server", since="2.8.13", flags=_LATENCY, complexity="O(1)",
         summary="Returns a human-readable latency analysis report.")
def latency_doctor(client):
    """What the samples say, in words."""
    monitor = client.server.dispatcher.latency
    if not monitor.threshold:
        return Verbatim("Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n")
    if not monitor.events:
        return Verbatim(f"No event took {monitor.threshold} ms or longer.\n")
    rows = [f"{event}: {len(samples)} slow events, {sum(ms for _, ms in samples) / len(samples):.0f} ms on average, the "
            f"longest ever {monitor.maxima[event]} ms." for event, samples in monitor.events.items()]
    return Verbatim("\n".join([*rows,
                               "SLOWLOG GET shows the commands; a smaller slowlog-log-slower-than shows more of them."]) + "\n")


@command("LATENCY HISTOGRAM", arity=-2, group="server", since="7.0.0", flags=_LATENCY,
         complexity="O(N) where N is the number of commands with latency information being retrieved.",
         summary="Returns the cumulative distribution of latencies of a subset or all commands.")
def latency_histogram(client, *names):
    """Calls and cumulative counts by microseconds (powers of two) of each command that was called."""
    known = client.server.dispatcher.commands
    if names:
        records = []
        for name in names:
            command_ = COMMANDS.get(name.lower()) or known.get(_text(name).lower())
            if command_ is not None:
                records += [command_, *command_.subcommands.values()]
    else:
        records = list(known.values())
    return Pairs([(record.wire_name,
                   Pairs([(b"calls", record.stats.calls), (b"histogram_usec", Pairs(record.stats.cumulative()))]))
                  for record in records if record.stats is not None and record.stats.calls])


declare_help("LATENCY", "server", "2.8.13", (
    "DOCTOR", "    What the samples say, in words.",
    "GRAPH <event>", "    The samples of an event as a chart.",
    "HISTORY <event>", "    Time and milliseconds of the samples of an event.",
    "LATEST", "    The last sample of every event.",
    "RESET [<event> ...]", "    Forget these events, or all.",
    "HISTOGRAM [COMMAND ...]", "    Cumulative distribution of the time that commands took.",
))


# MONITOR

@command("MONITOR", arity=1, group="server", flags="admin noscript loading stale",
         summary="Listens for all requests received by the server in real-time.")
def monitor(client):
    """From now on every command of every client is shown to this one."""
    if client.in_exec:
        raise CommandError(errors.MONITOR_IN_MULTI)
    client.server.set_monitor(client, True)
    return OK


# MEMORY

@command("MEMORY USAGE", arity=-3, access="-", group="server", since="4.0.0", flags="readonly", keys=(2, 2, 1),
         complexity="O(N) where N is the number of samples.", summary="Estimates the memory usage of a key.")
def memory_usage(client, key, *words):
    """Bytes of the key and its value; collections are estimated from SAMPLES (default 5, 0: all) of their members."""
    samples = 5
    if words:
        if len(words) != 2 or words[0].upper() != b"SAMPLES":
            raise CommandError(SYNTAX)
        samples = to_int(words[1])
        if samples < 0:
            raise CommandError(SYNTAX)
    value = client.db.get(key)
    return None if value is None else size_of(key, samples) + size_of(value, samples)


@command("MEMORY STATS", arity=2, group="server", since="4.0.0", flags="", complexity="O(1)",
         summary="Returns details about memory usage.")
def memory_stats(client):
    """The figures of INFO memory and what lies behind them."""
    return Pairs(list(memory_report(client.server)))


@command("MEMORY DOCTOR", arity=2, group="server", since="4.0.0", flags="", complexity="O(1)",
         summary="Outputs a memory problems report.")
def memory_doctor(client):
    """A sentence on the memory in use."""
    report = dict(memory_report(client.server))
    limit = client.server.config["maxmemory"]
    text = f"{report['total.allocated']} bytes in use, at most {report['peak.allocated']} so far."
    if limit:
        text += f" That is {100 * report['total.allocated'] / limit:.0f} % of maxmemory."
    return Verbatim(text + "\n")


@command("MEMORY PURGE", arity=2, group="server", since="4.0.0", flags="",
         complexity="Depends on how much memory is allocated, could be slow",
         summary="Asks the allocator to release memory.")
def memory_purge(client):
    """Collects garbage and gives free memory back to the system; takes long with many keys."""
    purge()
    return OK


declare_help("MEMORY", "server", "4.0.0", (
    "DOCTOR", "    A sentence on the memory in use.",
    "PURGE", "    Give free memory back to the system.",
    "STATS", "    Figures of the memory in use.",
    "USAGE <key> [SAMPLES <count>]", "    Bytes of a key and its value, estimated from <count> members (default: 5, 0: all).",
), flags="")


# DEBUG

def _debug_sleep(client, seconds):
    try:
        time.sleep(float(seconds))
    except ValueError:
        raise CommandError(errors.NOT_A_FLOAT) from None
    return OK


def _debug_object(client, key):
    value = client.db.get(key)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    return Simple(f"Value at:{id(value):#x} refcount:1 encoding:{encoding(value, client.server.config)} "
                  f"serializedlength:{size_of(value, 0)} "
                  "lru:0 lru_seconds_idle:0")


def _debug_set_active_expire(client, flag):
    client.server.active_expiry = to_int(flag) != 0
    return OK


def _debug_reload(client, *words):
    options = {word.upper() for word in words}
    if options - {b"MERGE", b"NOFLUSH", b"NOSAVE"}:
        raise CommandError(errors.SYNTAX)
    client.server.keeper.reload(b"NOSAVE" not in options, b"NOFLUSH" not in options)
    return OK


def _debug_segfault(client):
    crash.end_by_segfault()


def _debug_panic(client):
    crash.report(client.server, RuntimeError("DEBUG PANIC was called"))
    crash.end_at_once()


def _debug_log(client, message):
    client.server.log.warning("DEBUG LOG: %s", _text(message))
    return OK


_DEBUG_HELP = [Simple(line) for line in (
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LOG <message>", "    Write <message> to the log.",
    "OBJECT <key>", "    Encoding and size of a value.",
    "PANIC", "    End the server with a report in its log.",
    "RELOAD [NOFLUSH] [NOSAVE]", "    Save a snapshot and read it back.",
    "SEGFAULT", "    End the server by reading from where nothing is.",
    "SET-ACTIVE-EXPIRE <0|1>", "    Whether keys are dropped at their time without being looked at.",
    "SLEEP <seconds>", "    Stop the server for <seconds>. Decimals allowed.",
    "HELP", "    Print this help.")]
_DEBUG = {
    b"SLEEP": (_debug_sleep, 1), b"OBJECT": (_debug_object, 1), b"SET-ACTIVE-EXPIRE": (_debug_set_active_expire, 1),
    b"LOG": (_debug_log, 1), b"RELOAD": (_debug_reload, -1), b"SEGFAULT": (_debug_segfault, 0), b"PANIC": (_debug_panic, 0),
    b"HELP": (lambda client: _DEBUG_HELP, 0),
}


@command("DEBUG", arity=-2, group="server", flags="admin noscript loading stale", complexity="Depends on subcommand.",
         summary="A container for debugging commands.")
def debug(client, name, *words):
    """For tests: see DEBUG HELP."""
    is_local = client.is_unix or client.address.startswith(("127.", "[::1]"))
    if not client.server.config.allows_debug(is_local):
        raise CommandError(errors.DEBUG_REFUSED)
    function, n = _DEBUG.get(name.upper(), (None, 0))
    if function is None or n not in (len(words), -1):
        raise CommandError(errors.UNKNOWN_SUBCOMMAND_OR_ARITY.format(_text(name), "DEBUG"))
    return function(client, *words)
