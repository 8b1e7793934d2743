"""What ties persistence to a server: reading at the start, save points, background children, failures, INFO, the end."""
import asyncio
import gc
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable

from ..client import Client
from ..dispatch import unknown_command
from ..memory import used_memory
from ..protocol import errors
from ..protocol.errors import CommandError
from ..registry import COMMANDS
from ..values import slots
from . import as_commands, snapshots
from .appendfile import AppendFile
from .child import Child, step_back
from .files import remove_leftovers
from .snapshots import Blocked

#: Seconds of loading before the first connection is taken: small data are there at once.
_BEFORE_LISTENING = 0.1
#: Seconds of loading between two looks at the sockets.
_SLICE = 0.01
#: Seconds between a failed background save and the next one by a save point.
_RETRY = 5
#: Bytes of memory from which on BGSAVE has a fork prepared, and the seconds that its client waits for that.
_LARGE, _PATIENCE = 64 << 20, 1.0


class Loading:
    """How far reading has come: bytes of `total`, keys."""

    def __init__(self):
        self.started = time.time()
        self.total = self.base = self.done = self.keys = 0

    def advance(self, offset: int, keys: int | None) -> None:
        """`offset` bytes of the present file have been read."""
        self.done = self.base + offset
        if keys is not None:
            self.keys = keys


class Keeper:
    """One per server. `definitions`: functions of the server that give the commands (lists of words) by which a module's own
    state comes back before the keys are loaded."""

    def __init__(self, server):
        self.server = server
        self.sources: list[Callable[[object], Iterable[list[bytes]]]] = []
        self.file = AppendFile(self)
        self.images = None                          # of a module's indexes: see commands/ft/images.py
        self.loading = Loading()
        self.child: Child | None = None
        self._job = None                            # the images that are written beside it
        self._ready = None                          # images that have been prepared for it
        self._preparing: object | None = None       # stands for the snapshot that a fork is being prepared for
        self.child_kind = ""                        # "rdb" or "aof"
        self.is_running = False                     # loaded, and not yet stopped
        self.is_scheduled = False                   # BGSAVE SCHEDULE waits for a rewrite to end
        self.is_last_ok = True                      # the last snapshot in the background
        self.last_seconds = -1
        self.n_saves = 0
        self.n_loaded = 0
        self.n_forks = 0
        self.fork_us = 0
        self.saves_at_end: bool | None = None       # SHUTDOWN SAVE or NOSAVE; None: by the save points
        self._dirty_at_save = 0
        self._tried_at = 0.0
        self._client: Client | None = None          # that commands of a file run as
        server.config.observe("appendfsync", self._set_policy)
        server.config.observe("appendonly", self._set_append_only)
        server.config.observe("stop-writes-on-bgsave-error", lambda value: self._tell())
        server.config.observe("save", lambda value: self._tell())

    # Directives

    def _set_policy(self, policy: str) -> None:
        if self.file.journal is not None:
            self.file.journal.set_policy(policy)

    def _set_append_only(self, on: bool) -> None:
        if self.is_running:
            self.file.switch(on)

    @property
    def dump_path(self) -> str:
        """Where the snapshot is."""
        return os.path.join(self.server.config["dir"], self.server.config["dbfilename"])

    def definitions(self) -> list[bytes]:
        """The commands, in RESP, by which all that is not a key comes back."""
        return [as_commands.encode(words) for source in self.sources for words in source(self.server)]

    # The start

    def apply(self, words: list[bytes]) -> None:
        """Runs a command of a file. Raises CommandError if this server does not know it; what it refuses is only logged, as it
        was refused the first time."""
        command, n_name = COMMANDS.get(words[0].lower()), 1
        if command is not None and len(words) > 1 and words[1].lower() in command.subcommands:
            command, n_name = command.subcommands[words[1].lower()], 2
        if command is None or command.function is None:
            raise CommandError(unknown_command(words))
        if not command.accepts(len(words)):
            raise CommandError(errors.WRONG_ARITY.format(command.wire_name))
        try:
            command.function(self._client, *words[n_name:])
        except CommandError as error:
            self.server.log.warning("A command of the append-only file was refused: %s: %s", command.name, error.text)

    def _load(self) -> Generator:
        """Reads what there is. Raises Blocked, OSError."""
        config, server = self.server.config, self.server
        self._client = Client(server)
        keyspace, clock = server.keyspace, server.keyspace.now_ms
        keyspace.expiry_enabled = False             # what had expired was deleted by a command
        keyspace.now_ms = lambda: 0                 # nothing that a command names has passed
        server.dispatcher.set_loading(True)
        started = time.monotonic()
        n = remove_leftovers(config["dir"] or ".", r"temp-(\d+)\.rdb") + self.file.remove_leftovers()
        if n:
            server.log.info("Removed %d files that an earlier server had begun to write", n)
        if self.images is not None:
            self.images.look()
        try:
            found = False
            if config["appendonly"]:
                found = yield from self.file.load()
            if not found and os.path.exists(self.dump_path):
                self.loading.total = os.path.getsize(self.dump_path)
                yield from self._load_snapshot()
                found = True
            if self.images is not None:
                self.images.end_of_data()
        finally:
            keyspace.expiry_enabled = True
            keyspace.now_ms = clock
            server.dispatcher.set_loading(False)
            self._client = None
        self.n_loaded = sum(len(db) for db in keyspace.databases)
        if found:
            server.log.info("DB loaded from disk: %.3f seconds, %d keys", time.monotonic() - started, self.n_loaded)

    def _load_snapshot(self) -> Generator:
        ids: list[str] = []
        yield from snapshots.load(self.dump_path, self.server, self.apply, self.loading.advance, ids.append)
        if ids:
            self.reached(ids[-1], 0)

    def reached(self, place: str, offset: int) -> None:
        """Reading has come to this byte of a part of the append-only file, or to the end of the snapshot with this id."""
        if self.images is not None:
            self.images.reached((place, offset))

    async def start(self, listen: Callable) -> list:
        """Reads the data, has `await listen()` open the sockets, before the end of it if that takes long, and begins to write.
        Returns the listeners. Raises Blocked, ConfigError."""
        listeners: list | None = None
        deadline = time.monotonic() + _BEFORE_LISTENING
        gc.disable()                                # nothing of what is read is garbage, and nobody wants to walk over it
        try:
            for _ in self._load():
                if time.monotonic() < deadline:
                    continue
                if listeners is None:
                    listeners = await listen()
                await asyncio.sleep(0)
                deadline = time.monotonic() + _SLICE
            self._dirty_at_save = self.server.keyspace.dirty
            if self.server.config["appendonly"]:
                self.file.start()
        except OSError as error:
            raise Blocked(str(error)) from None
        finally:
            gc.freeze()
            gc.enable()
        self.is_running = True
        self.server.add_periodic(0.1, self._tick)
        return await listen() if listeners is None else listeners

    # Children and threads

    @property
    def is_busy(self) -> bool:
        """Whether there is a child, or one will be forked for a snapshot at once."""
        return self.child is not None or self._preparing is not None

    @property
    def is_saving(self) -> bool:
        """Whether a snapshot is on its way."""
        return self._preparing is not None or self.child is not None and self.child_kind == "rdb"

    def prepare(self, work: Callable[[], None], on_done: Callable[[str], None], patience: float = math.inf) -> None:
        """Has a thread do `work`, and before it what would make `fork` take long, for `patience` seconds or so at most. Then
        on_done(error text or "") is called on the loop thread; that is where to fork."""
        job = self.images.job() if self.images is not None else None

        def run() -> None:
            self.server.gatherer.finish(patience)
            if job is not None:
                job.prepare()
            work()

        def done(error: str) -> None:
            self._ready = job
            on_done(error)
            if self._ready is not None:             # nothing was forked
                self._ready.cancel()
                self._ready = None

        self.in_thread(run, done)

    def fork(self, name: str, work: Callable, on_done: Callable[[str], None], point: tuple | None, kind: str = "aof") -> None:
        """Starts a child; see Child.
        Images of indexes are written beside it, if this moment is a `point` of the log. Raises OSError."""
        job, self._ready = self._ready, None
        if self.images is not None and point is not None:
            job = self.images.begin(point, job)
        elif job is not None:
            job.cancel()
            job = None

        def done(error: str) -> None:
            self.child = self._job = None
            slots.thaw()
            if job is not None:
                job.part_done(error)
            on_done(error)

        def both(report: Callable[[int], None]) -> None:
            work(report)
            if job is not None:
                try:
                    job.write_tables()
                except OSError:                     # what matters more is written; without tables the rest is dropped
                    pass

        slots.freeze()
        self.server.gatherer.give_way()
        try:
            self.child = Child(self.server, name, both, done, tuple(slots.descriptors()))
        except OSError:
            slots.thaw()
            if job is not None:
                job.cancel()
            raise
        if job is not None:
            self._job = job
            self.in_thread(job.write_vectors, job.part_done, steps_back=True)
        self.child_kind = kind
        self.n_forks += 1
        self.fork_us = self.child.fork_us
        self.server.log.info("%s started by pid %d", name, self.child.pid)

    def kill_child(self) -> None:
        """Ends the child that is under way or being prepared, if there is one."""
        self._preparing = None
        if self.child is not None:
            self.child.kill()
            self.child = None
            slots.thaw()
            if self._job is not None:
                self._job.part_done("interrupted")
                self._job = None

    def in_thread(self, work: Callable[[], None], on_done: Callable[[str], None], steps_back: bool = False) -> None:
        """Runs what may wait for the disk in a thread; on_done(error text or "") is called on the loop thread afterwards.
        `steps_back`: it computes for long, and the traffic comes first."""
        def run() -> None:
            error = ""
            if steps_back:
                step_back()
            try:
                work()
            except OSError as failure:
                error = str(failure)
            try:
                self.server.loop.call_soon_threadsafe(on_done, error)
            except RuntimeError:                    # the loop has ended
                pass
        threading.Thread(target=run, name="files", daemon=True).start()

    # Snapshots

    @property
    def changes(self) -> int:
        """Changes since the last snapshot."""
        return self.server.keyspace.dirty - self._dirty_at_save

    def save(self) -> None:
        """SAVE: writes a snapshot now. Raises CommandError."""
        if self.is_saving:
            raise CommandError(errors.SAVE_IN_PROGRESS)
        point = self._point()
        try:
            snapshots.save(self.dump_path, self.server, self.definitions(), point[0] if point is not None else "")
            if self.images is not None and point is not None:
                self.images.save(point)
        except (OSError, CommandError) as error:
            self.server.log.warning("Failed saving the DB: %s", error)
            self._note_save(False, self.server.keyspace.dirty)
            raise CommandError(errors.SAVE_FAILED) from None
        self.server.log.info("DB saved on disk")
        self._note_save(True, self.server.keyspace.dirty)

    def _point(self) -> tuple | None:
        """The point of the log at which this moment is: (part of the append-only file, offset), or (id of a snapshot to be
        written, 0). None where the file cannot be written."""
        if self.file.journal is None:
            return f"snapshot-{secrets.token_hex(8)}", 0
        return self.file.point()

    def _note_save(self, is_ok: bool, dirty: int) -> None:
        self.is_last_ok = is_ok
        if is_ok:
            self.n_saves += 1
            self._dirty_at_save = dirty
            self.server.last_save = int(time.time())
        self._tell()

    def background_save(self, may_wait: bool = False, on_started: Callable[[CommandError | None], None] | None = None,
                        patience: float = _PATIENCE) -> bool:
        """BGSAVE: has a child write a snapshot of this moment. Returns False if it waits for a rewrite to end first. Raises
        CommandError.

        With `on_started` a thread may prepare the fork, for `patience` seconds at most, so that it is short: then
        `is_preparing`, the moment is when that is done, and on_started(error or None) is called."""
        if self.is_busy or self.file.is_rewriting:
            if self.is_saving:
                raise CommandError(errors.SAVE_IN_PROGRESS)
            if not may_wait:
                raise CommandError(errors.REWRITE_IN_PROGRESS_FOR_SAVE)
            self.is_scheduled = True
            return False
        self._tried_at = time.monotonic()
        if on_started is None or used_memory() < _LARGE:
            self._fork_snapshot()
            return True
        mark = self._preparing = object()

        def prepared(error: str) -> None:
            if self._preparing is not mark:
                on_started(CommandError(errors.SAVE_FAILED))
                return
            self._preparing = None
            try:
                self._fork_snapshot()
            except CommandError as failure:
                on_started(failure)
            else:
                on_started(None)

        self.prepare(lambda: None, prepared, patience)
        return True

    @property
    def is_preparing(self) -> bool:
        """Whether a snapshot waits for its fork to be prepared."""
        return self._preparing is not None

    def _fork_snapshot(self) -> None:
        """Has a child write a snapshot. Raises CommandError."""
        server, path, dirty = self.server, self.dump_path, self.server.keyspace.dirty
        definitions, point = self.definitions(), self._point()
        place = point[0] if point is not None else ""
        try:
            self.fork("Background saving", lambda report: snapshots.save(path, server, definitions, place, report),
                      lambda error: self._saved(error, dirty), point, "rdb")
        except OSError as error:
            self.server.log.warning("Can't save in background: fork: %s", error.strerror)
            self._note_save(False, dirty)
            raise CommandError(errors.SAVE_FAILED) from None

    def _saved(self, error: str, dirty: int) -> None:
        self.last_seconds = int(time.monotonic() - self._tried_at)
        if error:
            self.server.log.warning("Background saving error: %s", error)
        else:
            self.server.log.info("Background saving terminated with success")
        self._note_save(not error, dirty)

    def _tell(self) -> None:
        """Has the dispatcher refuse writes after a failed snapshot, or take them again."""
        config = self.server.config
        is_bad = not self.is_last_ok and config["stop-writes-on-bgsave-error"] and config["save"]
        self.server.dispatcher.refuse_writes("rdb", errors.MISCONF_RDB if is_bad else "")

    def rewrite(self) -> bool:
        """BGREWRITEAOF. Returns False if it waits for a snapshot to end first. Raises CommandError."""
        if self.file.is_rewriting:
            raise CommandError(errors.REWRITE_IN_PROGRESS)
        if self.is_busy:
            self.file.schedule()
            return False
        self.file.rewrite()
        return True

    def _tick(self) -> None:
        if not self.is_running:
            return
        self.file.tick()
        if self.is_busy or self.file.is_rewriting:
            return
        if self.is_scheduled:
            self.is_scheduled = False
            self._try_background_save()
            return
        now = time.time()
        for seconds, changes in self.server.config["save"]:
            if self.changes >= changes and now - self.server.last_save > seconds and (
                    self.is_last_ok or time.monotonic() - self._tried_at > _RETRY):
                self.server.log.info("%d changes in %d seconds. Saving...", changes, seconds)
                self._try_background_save()
                return

    def _try_background_save(self) -> None:
        try:
            self.background_save(on_started=lambda error: None, patience=math.inf)
        except CommandError:                        # it has been logged
            pass

    def reload(self, saves: bool = True, flushes: bool = True) -> None:
        """DEBUG RELOAD: saves, empties the server and reads the snapshot back, all at once. Raises CommandError."""
        if saves:
            self.save()
        server = self.server
        keyspace, clock = server.keyspace, server.keyspace.now_ms
        if flushes:
            keyspace.flush_all()
        self._client = Client(server)
        journal, server.keyspace.journal = server.keyspace.journal, None
        keyspace.expiry_enabled = False
        keyspace.now_ms = lambda: 0
        server.dispatcher.set_loading(True)
        try:
            for _ in snapshots.load(self.dump_path, server, self.apply, lambda offset, keys: None):
                pass
        except (Blocked, OSError) as error:
            server.log.warning("%s", error)
            raise CommandError(errors.RELOAD_FAILED) from None
        finally:
            keyspace.expiry_enabled = True
            keyspace.now_ms = clock
            keyspace.journal = journal
            server.dispatcher.set_loading(False)
            self._client = None
        self._dirty_at_save = keyspace.dirty
        server.log.warning("DB reloaded by DEBUG RELOAD")

    # The end

    def stop(self) -> None:
        """Saves as the save points or SHUTDOWN say, and ends the append-only file."""
        self.is_running = False
        self.kill_child()
        saves = self.saves_at_end
        if saves is None:
            saves = bool(self.server.config["save"]) and self.changes > 0
        if self.file.journal is not None and self.images is not None:
            point = self.file.point()
            if point is not None:
                self.images.save(point)
        if saves:
            self.server.log.info("Saving the final RDB snapshot before exiting.")
            try:
                self.save()
            except CommandError:
                self.server.log.error("Error trying to save the DB, exiting all the same.")
        self.file.stop()

    # INFO

    def info(self) -> Iterable[tuple[str, object]]:
        """The rows of INFO persistence."""
        server, file, child = self.server, self.file, self.child
        journal = file.journal
        running = int(time.monotonic() - child.started) if child is not None else 0 if self.is_preparing else -1
        is_rdb = self.is_saving
        yield "loading", int(server.dispatcher.loading)
        yield "async_loading", 0
        yield "current_cow_peak", 0
        yield "current_cow_size", 0
        yield "current_cow_size_age", 0
        total = sum(len(db) for db in server.keyspace.databases)
        yield "current_fork_perc", f"{100 * child.n_done / max(total, 1):.2f}" if child is not None else "0.00"
        yield "current_save_keys_processed", child.n_done if child is not None else 0
        yield "current_save_keys_total", total if child is not None else 0
        yield "rdb_changes_since_last_save", self.changes
        yield "rdb_bgsave_in_progress", int(is_rdb)
        yield "rdb_last_save_time", server.last_save
        yield "rdb_last_bgsave_status", "ok" if self.is_last_ok else "err"
        yield "rdb_last_bgsave_time_sec", self.last_seconds
        yield "rdb_current_bgsave_time_sec", running if is_rdb else -1
        yield "rdb_saves", self.n_saves
        yield "rdb_last_cow_size", 0
        yield "rdb_last_load_keys_expired", 0
        yield "rdb_last_load_keys_loaded", self.n_loaded
        yield "aof_enabled", int(journal is not None)
        yield "aof_rewrite_in_progress", int(file.is_rewriting)
        yield "aof_rewrite_scheduled", int(file.is_scheduled)
        yield "aof_last_rewrite_time_sec", file.last_seconds
        yield "aof_current_rewrite_time_sec", running if file.is_rewriting else -1
        yield "aof_last_bgrewrite_status", "ok" if file.is_last_ok else "err"
        yield "aof_rewrites", file.n_rewrites
        yield "aof_rewrites_consecutive_failures", file.n_failures
        yield "aof_last_write_status", "ok" if journal is None or not (journal.write_error or journal.sync_error) else "err"
        yield "aof_last_cow_size", 0
        yield "module_fork_in_progress", 0
        yield "module_fork_last_cow_size", 0
        if journal is not None:
            yield "aof_current_size", file.current_size
            yield "aof_base_size", file.base_size
            yield "aof_pending_rewrite", int(file.is_scheduled)
            yield "aof_buffer_length", journal.n_waiting
            yield "aof_pending_bio_fsync", int(journal.is_syncing)
            yield "aof_delayed_fsync", journal.n_delayed
        if server.dispatcher.loading:
            yield from self._loading_info()

    def _loading_info(self) -> Iterable[tuple[str, object]]:
        loading = self.loading
        share = loading.done / max(loading.total, 1)
        elapsed = time.time() - loading.started
        yield "loading_start_time", int(loading.started)
        yield "loading_total_bytes", loading.total
        yield "loading_loaded_bytes", loading.done
        yield "loading_loaded_perc", f"{100 * share:.2f}"
        yield "loading_eta_seconds", int(elapsed / share - elapsed) if share > 0 else 1
