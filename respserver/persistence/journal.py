"""The commands that changed something, on their way into the append-only file.

A turn of the loop collects them; before its replies leave they are written together, and synchronised as `appendfsync` says:

    everysec   in a thread, once a second. While that is under way new commands wait in memory, for half a second at most
    always     in the same thread; the replies of the turn are held until their commands are on the disk. Turns that come
               meanwhile share the next synchronisation
    no         never: the system does it

A write that fails is undone (the file is cut back to whole commands) and tried again; meanwhile write commands are refused and
reads go on. After a failed synchronisation nobody knows what the disk holds: writes are refused until the file has been
rewritten.
"""
import logging
import os
import threading
import time
from collections import deque
from itertools import islice
from operator import is_
from queue import SimpleQueue

from ..deferred import Deferred
from ..protocol import errors
from .as_commands import encode

log = logging.getLogger("vamana")

#: How long commands wait in memory while a synchronisation is under way, which would hold up the write. Seconds.
POSTPONE = 0.5
#: Seconds between two attempts of what failed.
RETRY = 0.5
_MULTI, _EXEC = [b"MULTI"], [b"EXEC"]


class Journal:
    """Everything but the synchronising itself happens on the loop thread. `entries`: the commands of this turn, as lists of
    words or as bytes in RESP."""

    def __init__(self, server, policy: str = "everysec"):
        self.server = server
        self.policy = policy
        self.entries: list = []
        self.size = 0                           # bytes in the file that is written to
        self.total = 0                          # bytes written to all files since the start: a position
        self.synced = 0                         # the position up to which all is on the disk
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None  # set until the file has been rewritten
        self.n_delayed = 0
        self.on_sync_error = lambda: None       # called when a synchronisation has failed
        self._renamed = server.dispatcher.renamed
        self._fd = -1
        self._db = None                         # the database that what follows in the file goes to
        self._seen = -1                         # keyspace.dirty when it was looked at last
        self._waiting: list[bytes] = []         # encoded, not yet written
        self._postponed_at = 0.0
        self._tried_at = 0.0
        self._synced_at = time.monotonic()
        self.is_syncing = False
        self._to_close: list[int] = []          # files that are not written to any more and not yet synchronised
        self._held: deque = deque()             # (position, [(connection, replies)])
        self._writers: set = set()              # clients with held replies to writes
        self._jobs: SimpleQueue = SimpleQueue()
        self._thread = threading.Thread(target=self._sync_forever, name="aof-sync", daemon=True)
        self._thread.start()

    # What happened

    def note(self, client, command, words: list, reply) -> None:
        """A write command has run. Takes it down if it changed something; `words` must not be changed afterwards."""
        dirty = self.server.keyspace.dirty
        if dirty == self._seen and command.group != "search":
            return
        if isinstance(reply, Deferred):         # a client that waits: what it gets is noted when it gets it
            return
        self._seen = dirty
        if self.policy == "always":
            self._writers.add(client)
        if self._renamed and command in self._renamed:
            words = [command.name.encode(), *words[1:]]
        rewrite = command.logged_as
        if rewrite is None:
            if client.db is not self._db:
                self._select(client.db)
            self.entries.append(words)
            return
        lines = rewrite(client, words, reply)
        if not lines:
            return
        if client.db is not self._db:
            self._select(client.db)
        if len(lines) > 1 and not client.in_exec:
            lines = [_MULTI, *lines, _EXEC]
        self.entries += lines

    def note_all(self, client, data: bytes) -> None:
        """Write commands have run which all have changed something;
        `data`: the bytes that they came in, to be logged as they are."""
        self._seen = self.server.keyspace.dirty
        if self.policy == "always":
            self._writers.add(client)
        if client.db is not self._db:
            self._select(client.db)
        self.entries.append(data)

    def note_failed(self, client, words: list) -> None:
        """A write command was refused. If it had changed something by then, it will again when the file is read."""
        if self.server.keyspace.dirty != self._seen:
            self._seen = self.server.keyspace.dirty
            if client.db is not self._db:
                self._select(client.db)
            self.entries.append(words)

    def add(self, db, lines: list) -> None:
        """Takes down commands that no client has sent: keys and fields that have expired, documents that go with their index."""
        if db is not self._db:
            self._select(db)
        self.entries += lines

    def _select(self, db) -> None:
        self._db = db
        self.entries.append([b"SELECT", b"%d" % db.index])

    def join(self, start: int, commands: list, data: bytes) -> None:
        """If the entries from `start` on are just these commands, `data`, which they came in, stands for them:
        nothing is to be encoded."""
        entries = self.entries
        if len(entries) - start == len(commands) and all(map(is_, islice(entries, start, None), commands)):
            entries[start:] = [data]

    def begin(self) -> int:
        """A transaction begins: what to tell `end`."""
        return len(self.entries)

    def end(self, start: int) -> None:
        """What was noted since `begin` happens as a whole."""
        entries = self.entries
        if len(entries) - start > 1:
            entries.insert(start, _MULTI)
            entries.append(_EXEC)

    # Writing

    def open(self, path: str) -> None:
        """Goes on in a new file, or at the end of one that is there. What was noted has been written to the one before. Raises
        OSError, with nothing changed."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(fd).st_size
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            self.write(True)
            self._to_close.append(self._fd)
        self._fd = fd
        self.size = size
        self._db = None                         # every file says for itself which database it begins with
        if self._to_close:
            self._sync()

    @property
    def n_waiting(self) -> int:
        """Bytes that are not yet written."""
        return sum(map(len, self._waiting))

    def write(self, is_urgent: bool = False) -> bool:
        """Writes what was noted. Returns whether nothing waits any more. `is_urgent`: even if it may take long."""
        entries = self.entries
        if entries:
            self._waiting.append(b"".join([entry if type(entry) is bytes else encode(entry) for entry in entries]))
            entries.clear()
        if not self._waiting:
            return True
        now = time.monotonic()
        if not is_urgent:
            if self.write_error is not None and now - self._tried_at < RETRY:
                return False
            if self.is_syncing and self.policy == "everysec":
                self._postponed_at = self._postponed_at or now
                if now - self._postponed_at < POSTPONE:
                    return False
                self.n_delayed += 1
        self._postponed_at = 0.0
        self._tried_at = now
        data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:] if done else data)
        except OSError as error:
            self._undo(data, done, error)
            return False
        self._waiting.clear()
        self.size += len(data)
        self.total += len(data)
        if self.write_error is not None:
            log.warning("AOF write error looks solved. The server can write again.")
            self.write_error = None
            self._tell()
        return True

    def _undo(self, data: bytes, done: int, error: OSError) -> None:
        """Only part of the data was written: cuts the file back, or, where that fails too, keeps the rest for later."""
        if done:
            try:
                os.ftruncate(self._fd, self.size)
                done = 0
            except OSError as second:
                log.warning("Could not remove short write from the append-only file. The server may refuse to load the AOF the "
                            "next time it starts. ftruncate: %s", second.strerror)
                self.size += done
                self.total += done
        self._waiting[:] = [data[done:]]
        if self.write_error is None:
            log.warning("Error writing to the AOF file: %s", error.strerror)
        self.write_error = error
        self._tell()

    def _tell(self) -> None:
        """Has the dispatcher refuse writes, or take them again."""
        error = self.write_error or self.sync_error
        self.server.dispatcher.refuse_writes("aof", errors.MISCONF_AOF.format(error.strerror) if error else "")

    # Synchronising

    def commit(self) -> bool:
        """To be called before the replies of a turn leave: writes. Returns whether they may leave now; if not they are to be
        handed to `hold`."""
        if self.entries or self._waiting:
            is_written = self.write(self.policy == "always")
        else:
            is_written = True
        if self.policy != "always":
            if self.total > self.synced and self.policy == "everysec" and not self.is_syncing:
                if time.monotonic() - self._synced_at >= 1:
                    self._sync()
            return True
        if is_written and self.total == self.synced and not self._held and self.sync_error is None:
            self._writers.clear()
            return True
        return False

    def hold(self, replies: list) -> None:
        """Keeps [(connection, bytes)] until what is written now is on the disk. If it cannot be written, clients that wrote are
        disconnected: what they sent has happened here, and may or may not last."""
        position = self.total + self.n_waiting
        self._held.append((position, replies, self._writers))
        self._writers = set()
        if self._waiting or self.sync_error is not None:
            self._give_up()
        elif not self.is_syncing:
            self._sync()

    def _give_up(self) -> None:
        """Ends the wait of everything that is held."""
        held, self._held = self._held, deque()
        for _, replies, writers in held:
            for connection, data in replies:
                if connection.client in writers:
                    connection.close()
                else:
                    connection.send_held(data)

    def _release(self) -> None:
        while self._held and self._held[0][0] <= self.synced:
            for connection, data in self._held.popleft()[1]:
                connection.send_held(data)

    def settle(self) -> None:
        """Writes, synchronises if the policy is `always`, and lets go of all replies that are held, before it returns: for
        replies that cannot wait."""
        self.write(True)
        if self.policy != "always" or self.total == self.synced and not self._held:
            return
        if not self._waiting and self.sync_error is None:
            self.sync_now()
            self._release()
        if self._held:
            self._give_up()

    def sync_now(self) -> None:
        """Synchronises on this thread; a failure is noted."""
        position = self.total
        try:
            for fd in (*self._to_close, self._fd):
                os.fdatasync(fd)
        except OSError as error:
            self._failed(error)
            return
        self.synced = max(self.synced, position)

    def _sync(self) -> None:
        """Starts to synchronise what is written."""
        closing, self._to_close = self._to_close, []
        self.is_syncing = True
        self._synced_at = time.monotonic()
        self._jobs.put((self._fd, closing, self.total))

    def _sync_forever(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            fd, closing, position = job
            error = None
            try:
                for one in (*closing, fd):
                    os.fdatasync(one)
            except OSError as failed:
                error = failed
            for one in closing:
                os.close(one)
            try:
                self.server.loop.call_soon_threadsafe(self._synced, position, error)
            except RuntimeError:                # the loop has ended
                return

    def _synced(self, position: int, error: OSError | None) -> None:
        self.is_syncing = False
        if error is not None:
            self._failed(error)
            return
        self.synced = max(self.synced, position)
        self._release()
        if self._postponed_at:
            self.write()
        if self._held:
            self._sync()

    def _failed(self, error: OSError) -> None:
        if self.sync_error is None:
            log.warning("Fail to fsync the AOF file: %s", error.strerror)
        self.sync_error = error
        self._tell()
        self._give_up()
        self.on_sync_error()

    def forgive(self) -> None:
        """The file has been rewritten: whatever the old one has lost does not matter any more."""
        self.sync_error = None
        self.synced = min(self.total, self.synced)
        self._tell()

    def set_policy(self, policy: str) -> None:
        """appendfsync has changed."""
        if self.policy == "always" and policy != "always":
            self.settle()
        self.policy = policy

    def tick(self) -> None:
        """To be called ten times a second: what no reply waits for, what was postponed or has failed, and the synchronisation."""
        if self.policy == "always":
            self.write()
            if self.total > self.synced and not self.is_syncing and self.sync_error is None:
                self._sync()
            return
        self.commit()

    def close(self) -> None:
        """Writes and synchronises what there is, and ends."""
        if self._fd < 0:
            return
        self.write(True)
        self.sync_now()
        self._release()
        if self._held:
            self._give_up()
        self._jobs.put(None)
        self._thread.join(5)
        for fd in (*self._to_close, self._fd):
            os.close(fd)
        self._to_close, self._fd = [], -1
