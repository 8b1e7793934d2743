"""The append-only file of a server: reading it at the start, writing it, rewriting it."""
import os
import re
import time
from collections.abc import Callable, Generator

from ..protocol.errors import CommandError
from . import as_commands, manifest as manifests, replay, snapshots
from .files import publish, remove, remove_leftovers, sync_directory, write_all
from .journal import Journal
from .manifest import BASE, HISTORY, Manifest, Part
from .snapshots import Blocked

#: Seconds between two attempts to rewrite after a failure.
_RETRY = 5.0


class AppendFile:
    """`journal` is None while appendonly is no."""

    def __init__(self, keeper):
        self.keeper = keeper
        self.server = keeper.server
        self.journal: Journal | None = None
        self.manifest: Manifest | None = None
        self.base_size = 0                      # bytes of all parts when the file was last rewritten
        self.older_size = 0                     # bytes of the parts that are not written to any more
        self.is_rewriting = False
        self.is_scheduled = False               # a rewrite is due as soon as nothing else is saved
        self.is_last_ok = True
        self.last_seconds = -1
        self.n_rewrites = self.n_failures = 0
        self._failed_at = 0.0
        self._started = 0.0

    # Where

    @property
    def directory(self) -> str:
        config = self.server.config
        return os.path.join(config["dir"], config["appenddirname"])

    @property
    def stem(self) -> str:
        return self.server.config["appendfilename"]

    # Reading

    def remove_leftovers(self) -> int:
        """Removes what a server that is gone had not finished; returns how many files there were."""
        return sum(remove_leftovers(self.directory, name)
                   for name in (r"temp-rewriteaof-bg-(\d+)\.aof", re.escape(self.stem) + r"\.manifest\.(\d+)\.tmp"))

    def load(self) -> Generator:
        """Reads what there is; yields after each piece and returns whether there was anything. Raises Blocked, OSError."""
        manifest = self._manifest_there()
        if manifest is None:
            return False
        parts = manifest.parts()
        paths = [manifest.path_of(part) for part in parts]
        for path in paths:
            if not os.path.exists(path):
                raise Blocked(f"The append-only file consists of files that are not there: {path}")
        sizes = [os.path.getsize(path) for path in paths]
        self.keeper.loading.total = sum(sizes)
        done = 0
        for part, path, size in zip(parts, paths, sizes):
            self.keeper.loading.base = done
            yield from self._load_part(part, path, part is parts[-1])
            done += size
        self.manifest = manifest
        self._drop_history(manifest)
        self.base_size = sum(os.path.getsize(path) for path in paths)
        return True

    def _manifest_there(self) -> Manifest | None:
        try:
            manifest = manifests.load(self.directory, self.stem)
        except manifests.ManifestError as error:
            raise Blocked(f"{os.path.join(self.directory, self.stem)}.manifest: {error}") from None
        if manifest is not None:
            return manifest
        old = os.path.join(self.server.config["dir"], self.stem)
        if not os.path.isfile(old):
            return None
        # The one file of Redis before 7.0 becomes the base.
        os.makedirs(self.directory, exist_ok=True)
        manifest = Manifest(self.directory, self.stem, Part(self.stem, 1, BASE), base_number=1)
        manifest.save()
        os.rename(old, os.path.join(self.directory, self.stem))
        sync_directory(self.directory)
        self.server.log.info("Successfully migrated an old-style AOF %s into the AOF directory %s.", self.stem, self.directory)
        return manifest

    def _load_part(self, part: Part, path: str, is_last: bool) -> Generator:
        started = time.monotonic()
        start = 0
        if replay.begins_with_rdb(path):
            start = yield from snapshots.load(path, self.server, self.keeper.apply, self.keeper.loading.advance)
        n = 0
        whole = start                                       # all before it is complete
        queue: list | None = None                           # of a transaction
        self.keeper.reached(part.name, whole)
        try:
            for words, end in replay.commands(path, start):
                name = words[0].upper()
                if name == b"MULTI":
                    queue = []
                elif name == b"EXEC" and queue is not None:
                    for queued in queue:
                        self._apply(queued, path, whole)
                    queue, whole = None, end
                    self.keeper.reached(part.name, whole)
                elif queue is not None:
                    queue.append(words)
                else:
                    self._apply(words, path, whole)
                    whole = end
                    self.keeper.reached(part.name, whole)
                n += 1
                if not n & 15:
                    self.keeper.loading.advance(end, None)
                    yield
            if queue is not None:
                raise replay.Truncated(whole, "Unexpected end of file reading the append only file, within a transaction")
        except replay.Truncated as error:
            self._cut(path, whole, is_last, error)
        except replay.AofError as error:
            raise Blocked(f"{path}: {error}; redis-check-aof --fix cuts it there") from None
        self.server.log.info("DB loaded from %s file %s: %.3f seconds", "base" if part.kind == BASE else "incr", part.name,
                             time.monotonic() - started)

    def _apply(self, words: list, path: str, offset: int) -> None:
        try:
            self.keeper.apply(words)
        except CommandError as error:
            raise Blocked(f"{path}: {error.text} (offset {offset})") from None

    def _cut(self, path: str, whole: int, is_last: bool, error) -> None:
        """The last command of a file is not whole: cuts it off, where that is allowed."""
        log = self.server.log
        if not is_last or not self.server.config["aof-load-truncated"]:
            raise Blocked(f"{path}: {error}. You can: 1) Make a backup of your AOF file, then use redis-check-aof --fix. "
                          "2) Set 'aof-load-truncated' to yes and restart the server: that is for the last file only.") from None
        size = os.path.getsize(path)
        log.warning("!!! Warning: short read while loading the AOF file %s!!!", path)
        log.warning("AOF %s loaded anyway because aof-load-truncated is enabled: cut at offset %d, %d bytes are gone",
                    path, whole, size - whole)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, whole)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _drop_history(self, manifest: Manifest) -> None:
        if manifest.history:
            for part in manifest.history:
                remove(manifest.path_of(part))
            manifest.history = []
            manifest.save()

    # Writing

    def start(self) -> None:
        """Begins to write, at the end of what was read, or anew with what the databases hold. Raises OSError."""
        manifest = self.manifest
        if manifest is None:
            os.makedirs(self.directory, exist_ok=True)
            manifest = self._numbered()
            base = manifest.next_base(self.server.config["aof-use-rdb-preamble"])
            self._write_base(manifest.path_of(base), None)
            manifest.rebase(base, 0)
        if not manifest.increments:
            part = manifest.next_increment()
            os.close(os.open(manifest.path_of(part), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))
            manifest.save()
            sync_directory(os.path.dirname(self.directory) or ".")
        self.manifest = manifest
        journal = Journal(self.server, self.server.config["appendfsync"])
        journal.open(manifest.path_of(manifest.increments[-1]))
        self.base_size = self.base_size or self._size_of(manifest.parts()[:-1])
        self.older_size = self._size_of(manifest.parts()[:-1])
        self._attach(journal)

    def _numbered(self) -> Manifest:
        """A manifest without parts, with numbers after those of the files that are there; these are history."""
        before = None
        try:
            before = manifests.load(self.directory, self.stem)
        except (manifests.ManifestError, OSError):
            pass
        manifest = Manifest(self.directory, self.stem)
        if before is not None:
            manifest.base_number, manifest.increment_number = before.base_number, before.increment_number
            manifest.history = [Part(part.name, part.number, HISTORY) for part in [*before.parts(), *before.history]]
        return manifest

    def _size_of(self, parts) -> int:
        total = 0
        for part in parts:
            try:
                total += os.path.getsize(self.manifest.path_of(part))
            except OSError:
                pass
        return total

    def _attach(self, journal: Journal | None) -> None:
        """Has everything that changes data tell the journal, or nobody (None)."""
        self.journal = journal
        server = self.server
        server.keyspace.journal = server.dispatcher.journal = server.journal = journal
        if server.outbox is not None:
            server.outbox.journal = journal
        server.dispatcher.log_writes(journal is not None)
        if journal is not None:
            journal.on_sync_error = self.schedule

    def stop(self) -> None:
        """Writes and synchronises what there is, and ends."""
        journal = self.journal
        if journal is not None:
            self._attach(None)
            journal.close()

    @property
    def current_size(self) -> int:
        """Bytes of all parts."""
        return self.older_size + (self.journal.size if self.journal is not None else 0)

    def point(self) -> tuple | None:
        """Where the file ends now: (part, offset); None if what was noted cannot be written."""
        if not self.manifest.increments or not self.journal.write(True):
            return None
        return self.manifest.increments[-1].name, self.journal.size

    # Rewriting

    def schedule(self) -> None:
        """Has the file rewritten as soon as nothing else is saved."""
        self.is_scheduled = True

    def tick(self) -> None:
        """To be called ten times a second."""
        journal, config = self.journal, self.server.config
        if journal is None:
            if self.is_scheduled and not self.is_rewriting and not self.keeper.is_busy:
                self.rewrite()
            return
        journal.tick()
        if self.is_rewriting or self.keeper.is_busy:
            return
        is_calm = time.monotonic() - self._failed_at > _RETRY
        if (self.is_scheduled or journal.sync_error is not None or self.manifest.base is None) and is_calm:
            self.rewrite()
            return
        percentage = config["auto-aof-rewrite-percentage"]
        size = self.current_size
        if percentage and is_calm and size > config["auto-aof-rewrite-min-size"]:
            growth = 100 * size // max(self.base_size, 1) - 100
            if growth >= percentage:
                self.server.log.info("Starting automatic rewriting of AOF on %d%% growth", growth)
                self.rewrite()

    def rewrite(self) -> None:
        """Starts to write a new base, beside the traffic. While appendonly is no, that is all there will be of the file: no
        server writes on, but one that is started with appendonly yes reads it."""
        self.is_rewriting = True
        self.is_scheduled = False
        self._started = time.monotonic()
        if self.journal is None:
            self._fork(self._numbered(), 0, None)
            return
        manifest = self.manifest.copy()
        part = manifest.next_increment()

        def prepare() -> None:
            os.makedirs(self.directory, exist_ok=True)
            os.close(os.open(manifest.path_of(part), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))
            if manifest.base is not None:       # else there is no file to speak of as long as the first base is not there
                manifest.save()
        self.keeper.prepare(prepare, lambda error: self._switch(manifest, part, error))

    def _switch(self, manifest: Manifest, part: Part, error: str) -> None:
        """The new increment is there: from here on commands go to it, and the base holds what was before."""
        journal = self.journal
        if journal is None or error or self.keeper.child is not None:
            self._failed(error or "interrupted")
            return
        if not journal.write(True):             # the base would hold what belongs into the old increment
            self._failed("the file cannot be written")
            return
        try:
            journal.open(manifest.path_of(part))
        except OSError as failure:
            self._failed(failure.strerror)
            return
        self.manifest = manifest
        self.older_size = self._size_of(manifest.parts()[:-1])
        self._fork(manifest, 1, (part.name, 0))

    def _fork(self, manifest: Manifest, n_kept: int, point: tuple | None) -> None:
        """Has a child write the base that goes before the last `n_kept` increments."""
        base = manifest.next_base(self.server.config["aof-use-rdb-preamble"])
        temporary = os.path.join(self.directory, f"temp-rewriteaof-bg-{os.getpid()}.aof")
        journal = self.journal

        def done(failure: str) -> None:
            if failure or self.journal is not journal:
                self.keeper.in_thread(lambda: remove(temporary), lambda error: None)
                self._failed(failure or "interrupted")
            else:
                self._written(temporary, manifest if journal is None else self.manifest.copy(), base, n_kept)

        try:
            os.makedirs(self.directory, exist_ok=True)
            self.keeper.fork("Background append only file rewriting",
                             lambda report: self._write_base(temporary, report), done, point)
        except OSError as failure:
            self._failed(failure.strerror)

    def _write_base(self, path: str, report: Callable[[int], None] | None) -> None:
        """Writes what the databases hold. Raises OSError."""
        server = self.server
        if server.config["aof-use-rdb-preamble"]:
            snapshots.write(path, server, self.keeper.definitions(), True, "", report)
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            parts, size, n = list(self.keeper.definitions()), 0, 0
            for words in as_commands.of_databases(server.keyspace.databases):
                parts.append(as_commands.encode(words))
                size += len(parts[-1])
                n += 1
                if size > 1 << 20:
                    write_all(fd, b"".join(parts))
                    parts, size = [], 0
                    if report is not None:
                        report(n)
            write_all(fd, b"".join(parts))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _written(self, temporary: str, manifest: Manifest, base: Part, n_kept: int) -> None:
        """The child has written the base."""
        manifest.rebase(base, n_kept)
        path, journal = manifest.path_of(base), self.journal

        def finish() -> None:
            publish(temporary, path)
            manifest.save()
            for part in manifest.history:
                remove(manifest.path_of(part))
            manifest.history = []
            manifest.save()
        self.keeper.in_thread(finish, lambda error: self._finished(manifest, journal, error))

    def _finished(self, manifest: Manifest, journal: Journal | None, error: str) -> None:
        if error or self.journal is not journal:
            self._failed(error or "interrupted")
            return
        self.is_rewriting = False
        self.is_last_ok = True
        self.n_failures = 0
        self.n_rewrites += 1
        self.last_seconds = int(time.monotonic() - self._started)
        if journal is not None:
            self.manifest = manifest
            self.older_size = self._size_of(manifest.parts()[:-1])
            self.base_size = self.current_size
            journal.forgive()
        self.server.log.info("Background AOF rewrite finished successfully")

    def _failed(self, text: str) -> None:
        self.is_rewriting = False
        self.is_last_ok = False
        self.n_failures += 1
        self._failed_at = time.monotonic()
        self.server.log.warning("Background AOF rewrite failed: %s", text)

    # appendonly

    def switch(self, on: bool) -> None:
        """CONFIG SET appendonly. Raises ValueError if the file cannot be had."""
        if on == (self.journal is not None):
            return
        if self.is_rewriting and self.keeper.child is not None:
            self.keeper.kill_child()
            self.is_rewriting = False
        if not on:
            self.is_rewriting = self.is_scheduled = False
            self.stop()
            return
        try:
            os.makedirs(self.directory, exist_ok=True)
            self.manifest = self._numbered()
            journal = Journal(self.server, self.server.config["appendfsync"])
            # What is written before there is a base is of no use to anybody: it goes when the base is there.
            part = self.manifest.next_increment()
            self.manifest.history.append(Part(part.name, part.number, HISTORY))
            self.manifest.increments.clear()
            path = self.manifest.path_of(part)
            remove(path)
            journal.open(path)
        except OSError as error:
            raise ValueError(f"Unable to turn on AOF: {error.strerror}") from None
        self._attach(journal)
        self.schedule()
