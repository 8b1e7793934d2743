"""INFO: sections from providers. A provider gives only what is true of this server;
a feature that it does not have counts zero."""
import ctypes
import os
import platform
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterable

from . import REDIS_VERSION, __version__
from .memory import memory_pages

Provider = Callable[[object], Iterable[tuple[str, object]]]

#: The order of sections in the answer to INFO; sections of modules come before keyspace.
_ORDER = ("server", "clients", "memory", "persistence", "threads", "stats", "replication", "cpu", "modules", "commandstats",
          "errorstats", "latencystats", "cluster")


class Info:
    """The sections of one server."""

    def __init__(self):
        self._sections: dict[str, tuple[str, Provider, bool]] = {}
        for title, provider, default in _CORE:
            self.section(title, provider, default)

    def section(self, name: str, provider: Provider, default: bool = True) -> None:
        """Adds or replaces a section. `provider(server)` gives (field, value) pairs, or None: no section now; `default`: part of
        a plain INFO, or only of ALL; those that begin with the name of a module are only of EVERYTHING and MODULES."""
        self._sections[name.lower()] = name, provider, default

    def text(self, server, wanted: Iterable[str] = ()) -> str:
        """The answer to INFO with these section names (any case; default, all, everything, or a module's name for all of its)."""
        names = [name.lower() for name in wanted] or ["default"]
        chosen = set(names)
        modules = {module.name.lower() for module in server.modules}
        of_modules = {name for name in self._sections if name.partition("_")[0] in modules}
        if "all" in names:
            chosen |= self._sections.keys() - of_modules
        if "everything" in names:
            chosen |= self._sections.keys()
        if "default" in chosen:
            chosen |= {name for name, (_, _, default) in self._sections.items() if default}
        if "modules" in names:
            chosen |= of_modules
        chosen |= {name for name in of_modules if name.partition("_")[0] in names}
        parts = []
        for name in self._ordered():
            if name in chosen:
                title, provider, _ = self._sections[name]
                fields = provider(server)
                if fields is not None:
                    parts.append(f"# {title}\r\n" + "".join(f"{field}:{_show(value)}\r\n" for field, value in fields))
        return "\r\n".join(parts)

    def _ordered(self) -> list[str]:
        extra = [name for name in self._sections if name not in _ORDER and name != "keyspace"]
        known = [name for name in _ORDER if name in self._sections]
        at = known.index("modules") + 1
        return known[:at] + extra + known[at:] + ["keyspace"]


def _show(value) -> str:
    return "yes" if value is True else "no" if value is False else f"{value:.2f}" if isinstance(value, float) else str(value)


def human(n: int) -> str:
    """A number of bytes as INFO's *_human fields have it: 1.50M."""
    for unit, size in (("P", 1 << 50), ("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if n >= size:
            return f"{n / size:.2f}{unit}"
    return f"{n}B"


def _zeros(names: str) -> Iterable[tuple[str, int]]:
    """Counters of what this server does not do, and so never did."""
    return ((name, 0) for name in names.split())


def _server(server):
    now = time.time()
    uptime = int(now - server.started)
    loop = type(server.loop).__module__.partition(".")[0] if server.loop is not None else ""
    yield "redis_version", REDIS_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_build_id", "0"
    yield "redis_mode", "standalone"
    yield "os", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "arch_bits", struct.calcsize("P") * 8
    yield "monotonic_clock", "POSIX clock_gettime"
    yield "multiplexing_api", "epoll" if sys.platform == "linux" else "kqueue"
    yield "atomicvar_api", "none"
    yield "gcc_version", "0.0.0"
    yield "process_id", os.getpid()
    yield "process_supervised", server.supervisor.name if server.supervisor is not None else "no"
    yield "run_id", server.run_id
    yield "tcp_port", server.config["port"]
    for number, listener in enumerate(server.listeners):
        yield f"listener{number}", listener
    yield "server_time_usec", int(now * 1_000_000)
    yield "uptime_in_seconds", uptime
    yield "uptime_in_days", uptime // 86400
    yield "hz", server.config["hz"]
    yield "configured_hz", server.config["hz"]
    yield "lru_clock", int(now) & 0xFFFFFF
    yield "executable", server.executable
    yield "config_file", server.config.file
    yield "io_threads_active", 0
    yield "vamana_version", __version__
    yield "python_version", platform.python_version()
    yield "event_loop", loop


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


def malloc_bytes() -> tuple[int, int]:
    """Bytes that the C library's malloc has handed out, and that it holds; (0, 0) where it does not tell. Python's small
    objects are mostly in arenas of its own, which do not count here."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return 0, 0
    mallinfo2.restype = _Mallinfo
    found = mallinfo2()
    return found.uordblks + found.hblkhd, found.arena + found.hblkhd


def _clients(server):
    clients = list(server.clients.values())
    yield "connected_clients", len(clients)
    yield "cluster_connections", 0
    yield "maxclients", server.config["maxclients"]
    yield "client_recent_max_input_buffer", max((c.input_size() for c in clients), default=0)
    yield "client_recent_max_output_buffer", max((c.output_size() for c in clients), default=0)
    yield "blocked_clients", sum(1 for c in clients if c.waiting is not None and c.waiting.blocking)
    yield "tracking_clients", len(server.tracking.clients)
    yield "pubsub_clients", sum(1 for c in clients if c.kind == "pubsub")
    yield "watching_clients", sum(1 for c in clients if c.watched)
    yield "clients_in_timeout_table", 0
    yield "total_watched_keys", sum(len(db.watchers) for db in server.keyspace.databases)
    waiting = server.keyspace.waiting
    yield "total_blocking_keys", 0 if waiting is None else len(waiting.waiters)
    yield "total_blocking_keys_on_nokey", 0 if waiting is None else waiting.n_bound


def _memory(server):
    resident, shared = memory_pages()
    used = server.evictor.used if server.evictor.is_on else resident - shared
    peak = server.stats.peak_memory = max(server.stats.peak_memory, used)
    startup = server.memory_at_start
    data = max(0, used - startup)
    handed_out, held = malloc_bytes()
    total = os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = server.config["maxmemory"]
    yield "used_memory", used
    yield "used_memory_human", human(used)
    yield "used_memory_rss", resident
    yield "used_memory_rss_human", human(resident)
    yield "used_memory_peak", peak
    yield "used_memory_peak_human", human(peak)
    yield "used_memory_peak_perc", f"{100 * used / max(1, peak):.2f}%"
    yield "used_memory_overhead", startup
    yield "used_memory_startup", startup
    yield "used_memory_dataset", data
    yield "used_memory_dataset_perc", f"{100 * data / max(1, used):.2f}%"
    yield "total_system_memory", total
    yield "total_system_memory_human", human(total)
    yield "maxmemory", limit
    yield "maxmemory_human", human(limit)
    yield "maxmemory_policy", server.config["maxmemory-policy"]
    if held:
        yield "allocator_allocated", handed_out
        yield "allocator_active", held
        yield "allocator_resident", held
        yield "allocator_muzzy", 0
        yield "allocator_frag_ratio", held / handed_out
        yield "allocator_frag_bytes", held - handed_out
        yield "allocator_rss_ratio", 1.0
        yield "allocator_rss_bytes", 0
        yield "rss_overhead_ratio", resident / held
        yield "rss_overhead_bytes", resident - held
    yield from _zeros("used_memory_lua used_memory_vm_eval used_memory_scripts_eval number_of_cached_scripts "
                      "number_of_functions number_of_libraries used_memory_vm_functions used_memory_vm_total "
                      "used_memory_functions used_memory_scripts")
    for name in ("lua", "vm_total", "scripts"):
        yield f"used_memory_{name}_human", "0B"
    yield "mem_fragmentation_ratio", resident / max(1, used)
    yield "mem_fragmentation_bytes", resident - used
    yield "mem_clients_normal", sum(c.input_size() + c.output_size() for c in server.clients.values())
    yield "mem_clients_slaves", 0
    yield from _zeros(
        "mem_aof_buffer mem_replication_backlog mem_total_replication_buffers mem_cluster_links mem_not_counted_for_evict "
        "mem_overhead_db_hashtable_rehashing")
    yield "mem_allocator", "libc"
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", 0
    yield "lazyfreed_objects", 0


def _persistence(server):
    yield from server.keeper.info()


def _stats(server):
    stats, dispatcher = server.stats, server.dispatcher
    net_in, net_out = server.net_bytes()
    yield "total_connections_received", stats.connections
    yield "total_commands_processed", dispatcher.calls()
    yield "instantaneous_ops_per_sec", int(stats.ops_per_second)
    yield "total_net_input_bytes", net_in
    yield "total_net_output_bytes", net_out
    yield "total_net_repl_input_bytes", 0
    yield "total_net_repl_output_bytes", 0
    yield "instantaneous_input_kbps", stats.input_kbps
    yield "instantaneous_output_kbps", stats.output_kbps
    yield "instantaneous_input_repl_kbps", 0.0
    yield "instantaneous_output_repl_kbps", 0.0
    yield "rejected_connections", stats.rejected_connections
    yield "expired_keys", server.keyspace.n_expired
    yield "expired_subkeys", server.keyspace.n_expired_fields
    yield "evicted_keys", server.evictor.n_evicted
    yield "total_eviction_exceeded_time", server.evictor.exceeded_ns // 1_000_000
    yield "current_eviction_exceeded_time", server.evictor.exceeded_now_ns // 1_000_000
    yield "keyspace_hits", stats.hits
    yield "keyspace_misses", stats.misses
    yield "pubsub_channels", len(server.pubsub.channels)
    yield "pubsub_patterns", len(server.pubsub.patterns)
    yield "pubsubshard_channels", len(server.pubsub.shard_channels)
    yield "tracking_total_keys", server.tracking.n_keys
    yield "tracking_total_items", server.tracking.n_items
    yield "tracking_total_prefixes", server.tracking.n_prefixes
    yield from _zeros(
        "sync_full sync_partial_ok sync_partial_err evicted_clients evicted_scripts "
        "migrate_cached_sockets slave_expires_tracked_keys "
        "active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses total_active_defrag_time "
        "current_active_defrag_time unexpected_error_replies "
        "dump_payload_sanitizations io_threaded_reads_processed io_threaded_writes_processed")
    yield "latest_fork_usec", server.keeper.fork_us
    yield "total_forks", server.keeper.n_forks
    yield "client_query_buffer_limit_disconnections", stats.query_limit_closed
    yield "total_error_replies", stats.n_errors
    yield "client_output_buffer_limit_disconnections", stats.output_limit_closed
    for reason, name in (("auth", "auth"), ("command", "cmd"), ("key", "key"), ("channel", "channel")):
        yield f"acl_access_denied_{name}", server.acl.denied[reason]
    yield "internal_errors", stats.internal_errors


def _replication(server):
    yield "role", "master"
    yield "connected_slaves", 0
    yield "master_failover_state", "no-failover"
    yield "master_replid", server.run_id
    yield "master_replid2", "0" * 40
    yield "master_repl_offset", 0
    yield "second_repl_offset", -1
    yield "repl_backlog_active", 0
    yield "repl_backlog_size", 0
    yield "repl_backlog_first_byte_offset", 0
    yield "repl_backlog_histlen", 0


def _cpu(server):
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield "used_cpu_sys", f"{own.ru_stime:.6f}"
    yield "used_cpu_user", f"{own.ru_utime:.6f}"
    yield "used_cpu_sys_children", f"{children.ru_stime:.6f}"
    yield "used_cpu_user_children", f"{children.ru_utime:.6f}"
    if hasattr(resource, "RUSAGE_THREAD"):
        thread = resource.getrusage(resource.RUSAGE_THREAD)
        yield "used_cpu_sys_main_thread", f"{thread.ru_stime:.6f}"
        yield "used_cpu_user_main_thread", f"{thread.ru_utime:.6f}"


def _modules(server):
    for module in server.modules:
        yield "module", f"name={module.name},ver={module.ver},api=1,filters=0,usedby=[],using=[],options=[]"


def _used_commands(server):
    return sorted(((command.wire_name, command.stats) for command in server.dispatcher.commands.values()), key=lambda row: row[0])


def _commandstats(server):
    for name, stats in _used_commands(server):
        calls = stats.calls
        if calls or stats.rejected or stats.failed:
            usec = stats.ns // 1000
            yield f"cmdstat_{name}", (f"calls={calls},usec={usec},usec_per_call={stats.ns / 1000 / max(1, calls):.2f},"
                                      f"rejected_calls={stats.rejected},failed_calls={stats.failed}")


def _errorstats(server):
    for code, count in sorted(server.stats.errors.items()):
        yield f"errorstat_{code}", f"count={count}"


def _latencystats(server):
    if server.config["latency-tracking"]:
        shares = server.config["latency-tracking-info-percentiles"]
        for name, stats in _used_commands(server):
            if stats.calls:
                percentiles = ",".join(f"p{share:g}={stats.percentile(share):.3f}" for share in shares)
                yield f"latency_percentiles_usec_{name}", percentiles


def _cluster(server):
    yield "cluster_enabled", 0


def _keyspace(server):
    now = server.keyspace.now_ms()
    for db in server.keyspace.databases:
        if len(db):
            times = [when - now for _, when in zip(range(100), db.expires.values())]
            average = max(0, sum(times) // len(times)) if times else 0
            yield f"db{db.index}", f"keys={len(db)},expires={len(db.expires)},avg_ttl={average},subexpiry={len(db.field_expires)}"


_CORE = (
    ("Server", _server, True), ("Clients", _clients, True), ("Memory", _memory, True), ("Persistence", _persistence, True),
    ("Stats", _stats, True), ("Replication", _replication, True), ("CPU", _cpu, True), ("Modules", _modules, True),
    ("Commandstats", _commandstats, False), ("Errorstats", _errorstats, True), ("Latencystats", _latencystats, False),
    ("Cluster", _cluster, True), ("Keyspace", _keyspace, True),
)
